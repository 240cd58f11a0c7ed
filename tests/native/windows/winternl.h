/* winternl.h - a stand-in; see windows.h */
#ifndef STAND_IN_WINTERNL_H
#define STAND_IN_WINTERNL_H

#include <windows.h>

typedef struct {
    USHORT Length;
    USHORT MaximumLength;
    PWSTR Buffer;
} UNICODE_STRING, *PUNICODE_STRING;

#define NT_SUCCESS(status)         ((NTSTATUS)(status) >= 0)
#define STATUS_SUCCESS             ((NTSTATUS)0x00000000)
#define STATUS_UNSUCCESSFUL        ((NTSTATUS)0xc0000001)
#define STATUS_INVALID_HANDLE      ((NTSTATUS)0xc0000008)
#define STATUS_INVALID_PARAMETER   ((NTSTATUS)0xc000000d)
#define STATUS_NO_MEMORY           ((NTSTATUS)0xc0000017)
#define STATUS_BUFFER_TOO_SMALL    ((NTSTATUS)0xc0000023)
#define STATUS_NOT_SUPPORTED       ((NTSTATUS)0xc00000bb)
#define STATUS_NOT_FOUND           ((NTSTATUS)0xc0000225)
#define STATUS_INVALID_BUFFER_SIZE ((NTSTATUS)0xc0000206)
#define STATUS_INVALID_SIGNATURE   ((NTSTATUS)0xc000a000)
#define STATUS_DATA_ERROR          ((NTSTATUS)0xc000003e)

#endif
