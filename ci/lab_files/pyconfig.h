/* What Python.h must know about Windows, for extensions of the limited API that
   are cross-built against the headers of a Linux Python: they come with a
   pyconfig.h that describes Linux. Serves x86, x86-64 and ARM64. */
#ifndef Py_CONFIG_H
#define Py_CONFIG_H

#define MS_WIN32
#define MS_WINDOWS
#define NT_THREADS
#define PLATLIBDIR "DLLs"

#define HAVE_DECLSPEC_DLL
#define Py_ENABLE_SHARED 1

#define HAVE_PY_SSIZE_T 1
#ifdef _WIN64
#define MS_WIN64
typedef long long Py_ssize_t;
#define PY_SSIZE_T_MAX 0x7fffffffffffffffLL
#define SIZEOF_VOID_P 8
#define SIZEOF_SIZE_T 8
#else
typedef int Py_ssize_t;
#define PY_SSIZE_T_MAX 0x7fffffff
#define SIZEOF_VOID_P 4
#define SIZEOF_SIZE_T 4
#endif
#define SIZEOF_HKEY SIZEOF_VOID_P
#define ALIGNOF_SIZE_T SIZEOF_SIZE_T

#define SIZEOF_SHORT 2
#define SIZEOF_INT 4
#define SIZEOF_LONG 4
#define SIZEOF_LONG_LONG 8
#define SIZEOF_FLOAT 4
#define SIZEOF_DOUBLE 8
#define SIZEOF_WCHAR_T 2
#define SIZEOF_PID_T SIZEOF_INT
#define SIZEOF_FPOS_T 8
#define SIZEOF_OFF_T 4
#define SIZEOF_TIME_T 8
#define ALIGNOF_LONG 4
#define ALIGNOF_MAX_ALIGN_T 8

#define HAVE_ERRNO_H 1
#define HAVE_STDDEF_H 1
#define HAVE_STDINT_H 1
#define HAVE_STDARG_PROTOTYPES 1
#define HAVE_SYS_TYPES_H 1
#define HAVE_SYS_STAT_H 1
#define HAVE_WCHAR_H 1
#define HAVE_LONG_LONG 1
#define STDC_HEADERS 1

#endif
