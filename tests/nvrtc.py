"""CUDA's run-time compiler, of PyPI's package nvidia-cuda-nvrtc-cu12: it needs neither a GPU nor a driver."""

import ctypes
import importlib.util
import pathlib

ARCHITECTURES = ("70", "75", "80", "86", "89", "90", "100")
_OPTIONS = ("--std=c++14",)


def _library():
    """The compiler's library; None where it is not installed."""
    spec = importlib.util.find_spec("nvidia") and importlib.util.find_spec("nvidia.cuda_nvrtc")
    if not spec:
        return None
    (path,) = pathlib.Path(next(iter(spec.submodule_search_locations)), "lib").glob("libnvrtc.so.*")
    return ctypes.CDLL(str(path))


NVRTC = _library()


def compile_for(architecture, source) -> str:
    """Compiles CUDA C for a GPU's architecture; what the compiler says where it fails, "" where not."""
    program, size = ctypes.c_void_p(), ctypes.c_size_t()
    assert NVRTC.nvrtcCreateProgram(ctypes.byref(program), source.encode(), b"kernels.cu", 0, None, None) == 0
    options = [f"--gpu-architecture=sm_{architecture}".encode(), *[option.encode() for option in _OPTIONS]]
    status = NVRTC.nvrtcCompileProgram(program, len(options), (ctypes.c_char_p * len(options))(*options))
    assert NVRTC.nvrtcGetProgramLogSize(program, ctypes.byref(size)) == 0
    log = ctypes.create_string_buffer(size.value)
    assert NVRTC.nvrtcGetProgramLog(program, log) == 0
    NVRTC.nvrtcDestroyProgram(ctypes.byref(program))
    return "" if status == 0 else f"status {status}: {log.value.decode()}"
