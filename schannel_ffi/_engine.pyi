# The compiled extension module, as far as `_lib` looks into it: cffi gives its types at run time.

from typing import Any

ffi: Any
lib: Any
