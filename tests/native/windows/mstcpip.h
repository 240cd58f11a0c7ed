/* mstcpip.h - a stand-in; see windows.h */
#ifndef STAND_IN_MSTCPIP_H
#define STAND_IN_MSTCPIP_H

#include <winsock2.h>

#define SIO_TCP_INITIAL_RTO                    0x98000011
#define TCP_INITIAL_RTO_UNSPECIFIED_RTT        ((USHORT) - 1)
#define TCP_INITIAL_RTO_NO_SYN_RETRANSMISSIONS ((UCHAR) - 2)

typedef struct {
    USHORT Rtt;
    UCHAR MaxSynRetransmissions;
} TCP_INITIAL_RTO_PARAMETERS;

#endif
