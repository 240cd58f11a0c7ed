/*
 * schan_windows.h - the only place that includes Windows' headers, with what they must
 * be told first
 */
#ifndef SCHAN_WINDOWS_H
#define SCHAN_WINDOWS_H

#ifndef WINVER
#define WINVER 0x0A00
#endif
#ifndef _WIN32_WINNT
#define _WIN32_WINNT 0x0A00 /* NOLINT: the name is Microsoft's */
#endif
#define WIN32_LEAN_AND_MEAN
#define SECURITY_WIN32
#define SCHANNEL_USE_BLACKLISTS          /* SCH_CREDENTIALS (B1) */
#define CERT_CHAIN_PARA_HAS_EXTRA_FIELDS /* dwUrlRetrievalTimeout (B86) */
#if defined(__clang__) && defined(_MSC_VER) && !defined(_CRT_USE_BUILTIN_OFFSETOF)
#define _CRT_USE_BUILTIN_OFFSETOF /* NOLINT: the SDK's own is no constant to clang */
#endif

/* winsock2.h goes before windows.h, winternl.h (UNICODE_STRING) before schannel.h */
#include <winsock2.h>
#include <ws2tcpip.h>
#include <mstcpip.h>
#include <windows.h>
#include <winternl.h>
#include <wincrypt.h>
#include <bcrypt.h>
#include <ncrypt.h>
#include <sspi.h>
#include <schannel.h>

/* What some SDKs lack. */
#ifndef SIO_IDEAL_SEND_BACKLOG_QUERY
#define SIO_IDEAL_SEND_BACKLOG_QUERY _IOR('t', 123, u_long)
#endif

#endif
