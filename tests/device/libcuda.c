/* Stands in for NVIDIA's driver where cuDNN is only asked to plan. cuDNN's engines that are compiled at run time are linked against libcuda.so.1:
   without a file of that name that part of cuDNN does not load, and no device can be described. Two functions are really called: the driver's
   version, and the number of GPUs, of which there are none, so that nothing is loaded onto one. All others must only be there. */

enum { CUDA_SUCCESS = 0, CUDA_ERROR_STUB_LIBRARY = 34 };

int cuDriverGetVersion(int *version) {
  *version = 13000;
  return CUDA_SUCCESS;
}

int cuDeviceGetCount(int *count) {
  *count = 0;
  return CUDA_SUCCESS;
}

#define ABSENT(name) \
  int name(void) { return CUDA_ERROR_STUB_LIBRARY; }

/* Linked by libcudnn_engines_runtime_compiled.so.9. */
ABSENT(cuGetErrorString)
ABSENT(cuModuleGetFunction)
ABSENT(cuModuleLoadData)
ABSENT(cuModuleUnload)
ABSENT(cuTensorMapEncodeIm2col)
ABSENT(cuTensorMapEncodeTiled)

/* Looked up by name; cuDNN complains of those that it does not find. */
ABSENT(cuCtxGetCurrent)
ABSENT(cuCtxGetLimit)
ABSENT(cuCtxPopCurrent)
ABSENT(cuCtxPushCurrent)
ABSENT(cuDeviceGet)
ABSENT(cuGetErrorName)
ABSENT(cuKernelGetAttribute)
ABSENT(cuKernelGetFunction)
ABSENT(cuKernelSetAttribute)
ABSENT(cuLaunchCooperativeKernel)
ABSENT(cuLaunchKernel)
ABSENT(cuLaunchKernelEx)
ABSENT(cuLibraryGetKernel)
ABSENT(cuLibraryLoadData)
ABSENT(cuLibraryLoadFromFile)
ABSENT(cuLibraryUnload)
ABSENT(cuLinkAddData)
ABSENT(cuLinkComplete)
ABSENT(cuLinkCreate)
ABSENT(cuLinkDestroy)
ABSENT(cuOccupancyMaxPotentialClusterSize)
ABSENT(cuStreamGetCtx)
