/*
 * schan_sspi.h - the security package's function table as it is, for callers who need a
 * function that the library does not wrap
 *
 * The types are SecurityFunctionTableW and what it takes, with every pointer typed and
 * the calling convention written out (B94), so that cffi can call each member. They are
 * written down a second time, and not taken from sspi.h, because that header differs
 * between SDKs in names and const; what must not differ, the layout, is compared at the
 * end of this file by the compiler.
 */
#ifndef SCHAN_SSPI_H
#define SCHAN_SSPI_H

#include "schan_windows.h"

#include "schan.h"

/* [cdef] from here to [/cdef] is also read by cffi (build_ffi.py) */

typedef struct schan_sspi_handle { /* SecHandle: CredHandle, CtxtHandle */
    uintptr_t lower;
    uintptr_t upper;
} schan_sspi_handle;

typedef struct schan_sspi_buffer { /* SecBuffer */
    uint32_t size;
    uint32_t type;
    void *data;
} schan_sspi_buffer;

typedef struct schan_sspi_message { /* SecBufferDesc */
    uint32_t version;
    uint32_t count;
    schan_sspi_buffer *buffers;
} schan_sspi_message;

typedef struct schan_sspi_package { /* SecPkgInfoW */
    uint32_t capabilities;
    uint16_t version;
    uint16_t rpc_id;
    uint32_t max_token;
    wchar_t *name;
    wchar_t *comment;
} schan_sspi_package;

/* Members keep the names of SecurityFunctionTableW, and are __stdcall (B94). Times are
 * FILETIMEs in local time. */
typedef struct schan_sspi_table {
    uint32_t dwVersion;
    int32_t(__stdcall *EnumerateSecurityPackagesW)(uint32_t *count,
                                                   schan_sspi_package **packages);
    int32_t(__stdcall *QueryCredentialsAttributesW)(schan_sspi_handle *credential,
                                                    uint32_t attribute, void *value);
    int32_t(__stdcall *AcquireCredentialsHandleW)(
        const wchar_t *principal, const wchar_t *package, uint32_t use,
        const void *logon_id, const void *auth_data, const void *get_key,
        const void *get_key_argument, schan_sspi_handle *credential, int64_t *expiry);
    int32_t(__stdcall *FreeCredentialsHandle)(schan_sspi_handle *credential);
    void *Reserved2;
    int32_t(__stdcall *InitializeSecurityContextW)(
        schan_sspi_handle *credential, schan_sspi_handle *context,
        const wchar_t *target, uint32_t requested, uint32_t reserved1,
        uint32_t data_representation, schan_sspi_message *input, uint32_t reserved2,
        schan_sspi_handle *new_context, schan_sspi_message *output, uint32_t *granted,
        int64_t *expiry);
    int32_t(__stdcall *AcceptSecurityContext)(
        schan_sspi_handle *credential, schan_sspi_handle *context,
        schan_sspi_message *input, uint32_t requested, uint32_t data_representation,
        schan_sspi_handle *new_context, schan_sspi_message *output, uint32_t *granted,
        int64_t *expiry);
    int32_t(__stdcall *CompleteAuthToken)(schan_sspi_handle *context,
                                          schan_sspi_message *token);
    int32_t(__stdcall *DeleteSecurityContext)(schan_sspi_handle *context);
    int32_t(__stdcall *ApplyControlToken)(schan_sspi_handle *context,
                                          schan_sspi_message *token);
    int32_t(__stdcall *QueryContextAttributesW)(schan_sspi_handle *context,
                                                uint32_t attribute, void *value);
    int32_t(__stdcall *ImpersonateSecurityContext)(schan_sspi_handle *context);
    int32_t(__stdcall *RevertSecurityContext)(schan_sspi_handle *context);
    int32_t(__stdcall *MakeSignature)(schan_sspi_handle *context, uint32_t quality,
                                      schan_sspi_message *message, uint32_t sequence);
    int32_t(__stdcall *VerifySignature)(schan_sspi_handle *context,
                                        schan_sspi_message *message, uint32_t sequence,
                                        uint32_t *quality);
    int32_t(__stdcall *FreeContextBuffer)(void *memory);
    int32_t(__stdcall *QuerySecurityPackageInfoW)(const wchar_t *name,
                                                  schan_sspi_package **package);
    void *Reserved3;
    void *Reserved4;
    int32_t(__stdcall *ExportSecurityContext)(schan_sspi_handle *context,
                                              uint32_t flags, schan_sspi_buffer *packed,
                                              void **token);
    int32_t(__stdcall *ImportSecurityContextW)(const wchar_t *package,
                                               schan_sspi_buffer *packed, void *token,
                                               schan_sspi_handle *context);
    int32_t(__stdcall *AddCredentialsW)(schan_sspi_handle *credential,
                                        const wchar_t *principal,
                                        const wchar_t *package, uint32_t use,
                                        const void *auth_data, const void *get_key,
                                        const void *get_key_argument, int64_t *expiry);
    void *Reserved8;
    int32_t(__stdcall *QuerySecurityContextToken)(schan_sspi_handle *context,
                                                  void **token);
    int32_t(__stdcall *EncryptMessage)(schan_sspi_handle *context, uint32_t quality,
                                       schan_sspi_message *message, uint32_t sequence);
    int32_t(__stdcall *DecryptMessage)(schan_sspi_handle *context,
                                       schan_sspi_message *message, uint32_t sequence,
                                       uint32_t *quality);
    /* from dwVersion 2 on (B95) */
    int32_t(__stdcall *SetContextAttributesW)(schan_sspi_handle *context,
                                              uint32_t attribute, const void *value,
                                              uint32_t size);
    /* from dwVersion 3 on (B95) */
    int32_t(__stdcall *SetCredentialsAttributesW)(schan_sspi_handle *credential,
                                                  uint32_t attribute, const void *value,
                                                  uint32_t size);
} schan_sspi_table;

/* The table that the library calls. Borrowed: the security package's own, or the
 * caller's. */
const schan_sspi_table *schan_library_function_table(const schan_library *library);

/*
 * Around every call of a member that takes or makes a handle; `exclusive` where it makes
 * or deletes one. Nothing but a test of a bool, except under Wine < 9, whose handles
 * need a lock that the engine and all callers share (B74). Leave on the same thread.
 */
void schan_sspi_enter(schan_library *library, int exclusive);
void schan_sspi_leave(schan_library *library, int exclusive);

/* [/cdef] */

/* The layout is that of sspi.h, or this does not compile. */
#define SCHAN__SAME_PLACE(own, member, windows, windows_member)                        \
    extern char schan__layout_of_##own##_##member                                      \
        [offsetof(own, member) == offsetof(windows, windows_member) ? 1 : -1]
#define SCHAN__SAME_SIZE(own, windows)                                                 \
    extern char schan__size_of_##own[sizeof(own) == sizeof(windows) ? 1 : -1]

SCHAN__SAME_SIZE(schan_sspi_handle, SecHandle);
SCHAN__SAME_PLACE(schan_sspi_handle, upper, SecHandle, dwUpper);
SCHAN__SAME_SIZE(schan_sspi_buffer, SecBuffer);
SCHAN__SAME_PLACE(schan_sspi_buffer, type, SecBuffer, BufferType);
SCHAN__SAME_PLACE(schan_sspi_buffer, data, SecBuffer, pvBuffer);
SCHAN__SAME_SIZE(schan_sspi_message, SecBufferDesc);
SCHAN__SAME_PLACE(schan_sspi_message, count, SecBufferDesc, cBuffers);
SCHAN__SAME_PLACE(schan_sspi_message, buffers, SecBufferDesc, pBuffers);
SCHAN__SAME_SIZE(schan_sspi_package, SecPkgInfoW);
SCHAN__SAME_PLACE(schan_sspi_package, rpc_id, SecPkgInfoW, wRPCID);
SCHAN__SAME_PLACE(schan_sspi_package, max_token, SecPkgInfoW, cbMaxToken);
SCHAN__SAME_PLACE(schan_sspi_package, name, SecPkgInfoW, Name);
SCHAN__SAME_PLACE(schan_sspi_package, comment, SecPkgInfoW, Comment);
SCHAN__SAME_PLACE(schan_sspi_table, EnumerateSecurityPackagesW, SecurityFunctionTableW,
                  EnumerateSecurityPackagesW);
SCHAN__SAME_PLACE(schan_sspi_table, InitializeSecurityContextW, SecurityFunctionTableW,
                  InitializeSecurityContextW);
SCHAN__SAME_PLACE(schan_sspi_table, FreeContextBuffer, SecurityFunctionTableW,
                  FreeContextBuffer);
SCHAN__SAME_PLACE(schan_sspi_table, ExportSecurityContext, SecurityFunctionTableW,
                  ExportSecurityContext);
SCHAN__SAME_PLACE(schan_sspi_table, EncryptMessage, SecurityFunctionTableW,
                  EncryptMessage);
SCHAN__SAME_PLACE(schan_sspi_table, SetCredentialsAttributesW, SecurityFunctionTableW,
                  SetCredentialsAttributesW);

#endif
