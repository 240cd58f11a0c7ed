"""The only package that imports the compiled engine: C handles as objects, C results as exceptions.

* `Connection`, `Engine` and `Verification` own a C handle each. Calls that wait take a time slice
  in milliseconds and answer None when it was over without a result; the waiting loop, the locks
  and the deadlines are the business of `sockets` and `engine`.
* On other systems the package is there, and says so when it is used.
"""

from schannel_ffi._lib.binding import require
from schannel_ffi._lib.connection import Connection
from schannel_ffi._lib.engine import CredentialWanted, Engine, EngineOwner, Role
from schannel_ffi._lib.failures import is_between_records
from schannel_ffi._lib.info import Agreed
from schannel_ffi._lib.outgoing import Outgoing, writable_buffer
from schannel_ffi._lib.shared import system_table_default, use_function_table, use_system_table
from schannel_ffi._lib.sspi import FunctionTable, describe_status
from schannel_ffi._lib.verification import Verification, certificate_failure
from schannel_ffi._lib.winsock import refuse_at_once
from schannel_ffi._lib.x509 import describe_certificate, digest

__all__ = [
    "Agreed",
    "Connection",
    "CredentialWanted",
    "Engine",
    "EngineOwner",
    "FunctionTable",
    "Outgoing",
    "Role",
    "Verification",
    "certificate_failure",
    "describe_certificate",
    "describe_status",
    "digest",
    "is_between_records",
    "refuse_at_once",
    "require",
    "system_table_default",
    "use_function_table",
    "use_system_table",
    "writable_buffer",
]
