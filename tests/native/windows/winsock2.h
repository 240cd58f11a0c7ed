/* winsock2.h - a stand-in; see windows.h. Sockets are what schan_system says they are. */
#ifndef STAND_IN_WINSOCK2_H
#define STAND_IN_WINSOCK2_H

#include <windows.h>

typedef UINT_PTR SOCKET;
typedef unsigned int u_int;
typedef unsigned short u_short;
typedef ULONG u_long;

#define INVALID_SOCKET (~(SOCKET)0)
#define SOCKET_ERROR   (-1)
#define FD_SETSIZE     64
#define SOL_SOCKET     0xffff
#define SO_SNDBUF      0x1001
#define SO_RCVBUF      0x1002
#define SO_ERROR       0x1007
#define TCP_NODELAY    0x1
#define _IOR(group, number, type)                                                      \
    (0x40000000 | (((DWORD)sizeof(type) & 0x7fU) << 16U) | ((group) << 8U) | (number))

typedef struct fd_set {
    u_int fd_count;
    SOCKET fd_array[FD_SETSIZE];
} fd_set;

struct timeval {
    long tv_sec;
    long tv_usec;
};

#define FD_ZERO(set) ((set)->fd_count = 0)
#define FD_SET(handle, set)                                                            \
    ((set)->fd_count < FD_SETSIZE                                                      \
         ? (void)((set)->fd_array[(set)->fd_count++] = (handle))                       \
         : (void)0)
#define FD_ISSET(handle, set) stand_in_fd_isset(handle, set)
int stand_in_fd_isset(SOCKET handle, const fd_set *set);

int recv(SOCKET handle, char *data, int size, int flags);
int send(SOCKET handle, const char *data, int size, int flags);
int select(int unused, fd_set *readable, fd_set *writable, fd_set *failed,
           const struct timeval *timeout);
int shutdown(SOCKET handle, int how);
int closesocket(SOCKET handle);
int getsockopt(SOCKET handle, int level, int option, char *value, int *size);
int setsockopt(SOCKET handle, int level, int option, const char *value, int size);
int WSAIoctl(SOCKET handle, DWORD code, LPVOID given, DWORD given_size, LPVOID answer,
             DWORD answer_size, DWORD *answered, void *overlapped, void *completion);
int WSAGetLastError(void);
void WSASetLastError(int error);

#define WSAEINTR           10004
#define WSAEBADF           10009
#define WSAEACCES          10013
#define WSAEFAULT          10014
#define WSAEINVAL          10022
#define WSAEMFILE          10024
#define WSAEWOULDBLOCK     10035
#define WSAEINPROGRESS     10036
#define WSAEALREADY        10037
#define WSAENOTSOCK        10038
#define WSAEDESTADDRREQ    10039
#define WSAEMSGSIZE        10040
#define WSAEPROTOTYPE      10041
#define WSAENOPROTOOPT     10042
#define WSAEPROTONOSUPPORT 10043
#define WSAEOPNOTSUPP      10045
#define WSAEAFNOSUPPORT    10047
#define WSAEADDRINUSE      10048
#define WSAEADDRNOTAVAIL   10049
#define WSAENETDOWN        10050
#define WSAENETUNREACH     10051
#define WSAENETRESET       10052
#define WSAECONNABORTED    10053
#define WSAECONNRESET      10054
#define WSAENOBUFS         10055
#define WSAEISCONN         10056
#define WSAENOTCONN        10057
#define WSAESHUTDOWN       10058
#define WSAETIMEDOUT       10060
#define WSAECONNREFUSED    10061
#define WSAEHOSTDOWN       10064
#define WSAEHOSTUNREACH    10065
#define WSANOTINITIALISED  10093
#define WSAHOST_NOT_FOUND  11001
#define WSATRY_AGAIN       11002
#define WSANO_RECOVERY     11003
#define WSANO_DATA         11004
#define MSG_PEEK           2
#define MSG_OOB            1
#define SD_RECEIVE         0
#define SD_SEND            1
#define SD_BOTH            2

#endif
