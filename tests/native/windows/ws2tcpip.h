/* ws2tcpip.h - a stand-in; see windows.h */
#ifndef STAND_IN_WS2TCPIP_H
#define STAND_IN_WS2TCPIP_H

#include <winsock2.h>

#endif
