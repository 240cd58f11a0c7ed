/* security.h - a stand-in; see windows.h */
#include <sspi.h>
