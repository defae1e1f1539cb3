// A stand-in for libcudnn.so.9 with the signatures of its headers, on the memory of the CPU: it keeps
// what its descriptors are told, answers statuses that a test asks for, logs every call, and
// computes the defining sum.
//
// Built with -DCUDNN_HEADER=<cudnn.h> the declarations of the real library are compiled with it, and
// a signature that differs is an error.
#ifdef CUDNN_HEADER
#include CUDNN_HEADER
#else
#include <cstddef>
typedef enum { CUDNN_STATUS_SUCCESS = 0 } cudnnStatus_t;
typedef enum { CUDNN_DATA_FLOAT = 0, CUDNN_DATA_DOUBLE = 1 } cudnnDataType_t;
typedef enum { CUDNN_TENSOR_NCHW = 0 } cudnnTensorFormat_t;
typedef enum { CUDNN_CONVOLUTION = 0, CUDNN_CROSS_CORRELATION = 1 } cudnnConvolutionMode_t;
typedef enum { CUDNN_DEFAULT_MATH = 0, CUDNN_TENSOR_OP_MATH = 1 } cudnnMathType_t;
typedef enum { CUDNN_NON_DETERMINISTIC = 0 } cudnnDeterminism_t;
typedef enum { CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_GEMM = 0 } cudnnConvolutionFwdAlgo_t;
typedef enum { CUDNN_CONVOLUTION_BWD_DATA_ALGO_0 = 0 } cudnnConvolutionBwdDataAlgo_t;
typedef enum { CUDNN_CONVOLUTION_BWD_FILTER_ALGO_0 = 0 } cudnnConvolutionBwdFilterAlgo_t;
typedef struct cudnnContext *cudnnHandle_t;
typedef struct cudnnTensorStruct *cudnnTensorDescriptor_t;
typedef struct cudnnFilterStruct *cudnnFilterDescriptor_t;
typedef struct cudnnConvolutionStruct *cudnnConvolutionDescriptor_t;
typedef struct CUstream_st *cudaStream_t;
typedef struct cudnnConvolutionFwdAlgoPerfStruct {
    cudnnConvolutionFwdAlgo_t algo;
    cudnnStatus_t status;
    float time;
    size_t memory;
    cudnnDeterminism_t determinism;
    cudnnMathType_t mathType;
    int reserved[3];
} cudnnConvolutionFwdAlgoPerf_t;
#endif
#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <map>
#include <string>
#include <vector>

struct cudnnContext { cudaStream_t stream = nullptr; };
struct cudnnTensorStruct { int type, n, c, h, w; };
struct cudnnFilterStruct { int type, k, c, h, w; };
struct cudnnConvolutionStruct { int ph, pw, sy, sx, dy, dx, mode, type, groups = 1, math = -1; };

namespace {
std::string calls;
std::map<std::string, int> statuses;  // by a call's name, or by "algorithm mode"
int alive = 0, with_tensor_cores = 0;

cudnnStatus_t called(const char *name, const char *format = "", ...) {
    char text[300];
    va_list values;
    va_start(values, format);
    std::vsnprintf(text, sizeof text, format, values);
    va_end(values);
    calls += std::string(name) + text + "\n";
    auto asked = statuses.find(name);
    return cudnnStatus_t(asked == statuses.end() ? 0 : asked->second);
}

template <class T> cudnnStatus_t made(const char *name, T **one) {
    *one = new T();
    ++alive;
    return called(name);
}

template <class T> cudnnStatus_t gone(const char *name, T *one) {
    delete one;
    --alive;
    return called(name);
}

// Every product of the sum: its places in x, w and y.
template <class Each>
void products(const cudnnTensorStruct &xd, const cudnnFilterStruct &wd, const cudnnConvolutionStruct &d,
              const cudnnTensorStruct &yd, Each each) {
    const int outputs = wd.k / d.groups;
    for (int n = 0; n < yd.n; ++n)
    for (int k = 0; k < yd.c; ++k)
    for (int r = 0; r < yd.h; ++r)
    for (int q = 0; q < yd.w; ++q)
        for (int c = 0; c < wd.c; ++c)
        for (int i = 0; i < wd.h; ++i)
        for (int j = 0; j < wd.w; ++j) {
            const int row = r * d.sy + i * d.dy - d.ph, column = q * d.sx + j * d.dx - d.pw;
            if (row < 0 || row >= xd.h || column < 0 || column >= xd.w) continue;
            const bool turned = d.mode == CUDNN_CONVOLUTION;
            const int a = turned ? wd.h - 1 - i : i, b = turned ? wd.w - 1 - j : j;
            const int channel = k / outputs * wd.c + c;
            each(((n * xd.c + channel) * xd.h + row) * xd.w + column,
                 ((k * wd.c + c) * wd.h + a) * wd.w + b, ((n * yd.c + k) * yd.h + r) * yd.w + q);
        }
}

// One of three arrays from the other two, summed in double: which is 0 for x, 1 for w, 2 for y.
template <class T>
void computed(const cudnnTensorStruct &xd, const cudnnFilterStruct &wd, const cudnnConvolutionStruct &d,
              const cudnnTensorStruct &yd, int which, const void *first, const void *second, void *result) {
    const T *a = static_cast<const T *>(first), *b = static_cast<const T *>(second);
    const int sizes[] = {xd.n * xd.c * xd.h * xd.w, wd.k * wd.c * wd.h * wd.w, yd.n * yd.c * yd.h * yd.w};
    std::vector<double> sums(size_t(sizes[which]), 0.0);
    products(xd, wd, d, yd, [&](int i, int j, int o) {
        if (which == 0) sums[size_t(i)] += double(a[j]) * double(b[o]);       // w, gy
        else if (which == 1) sums[size_t(j)] += double(a[i]) * double(b[o]);  // x, gy
        else sums[size_t(o)] += double(a[i]) * double(b[j]);                  // x, w
    });
    for (size_t k = 0; k < sums.size(); ++k) static_cast<T *>(result)[k] = T(sums[k]);
}

cudnnStatus_t run(const char *name, cudnnHandle_t handle, const void *alpha, const cudnnTensorStruct &xd,
                  const cudnnFilterStruct &wd, const cudnnConvolutionStruct &d, const cudnnTensorStruct &yd,
                  int which, const void *first, const void *second, void *result, int algo, void *workspace,
                  size_t bytes, const void *beta) {
    const bool twice = xd.type == CUDNN_DATA_DOUBLE;
    const double one = twice ? *(const double *)alpha : *(const float *)alpha;
    const double zero = twice ? *(const double *)beta : *(const float *)beta;
    std::memset(workspace, 0xAA, bytes);
    if (twice) computed<double>(xd, wd, d, yd, which, first, second, result);
    else computed<float>(xd, wd, d, yd, which, first, second, result);
    return called(name, " %d %zu %g %g %p", algo, bytes, one, zero, (void *)handle->stream);
}

cudnnStatus_t workspace(const char *name, int algo, int mode, size_t *bytes) {
    *bytes = 1000 + size_t(algo);
    const cudnnStatus_t status = called(name, " %d", algo);
    auto asked = statuses.find(std::to_string(algo) + " " + std::to_string(mode));
    return asked == statuses.end() ? status : cudnnStatus_t(asked->second);
}
}  // namespace

extern "C" {
// ---- what a test asks and reads ----
void fake_status(const char *name, int status) { statuses[name] = status; }
void fake_tensor_cores(int listed) { with_tensor_cores = listed; }
const char *fake_calls() { return calls.c_str(); }
int fake_alive() { return alive; }
void fake_forget() { calls.clear(), statuses.clear(), with_tensor_cores = 0; }

// ---- what the library has ----
size_t cudnnGetVersion(void) { return 91302; }
const char *cudnnGetErrorString(cudnnStatus_t status) {
    switch (int(status)) {
        case 2000: return "CUDNN_STATUS_BAD_PARAM";
        case 3000: return "CUDNN_STATUS_NOT_SUPPORTED";
        case 5000: return "CUDNN_STATUS_EXECUTION_FAILED";
        default: return "CUDNN_UNKNOWN_STATUS";
    }
}
cudnnStatus_t cudnnCreate(cudnnHandle_t *handle) { return made("Create", handle); }
cudnnStatus_t cudnnDestroy(cudnnHandle_t handle) { return gone("Destroy", handle); }
cudnnStatus_t cudnnSetStream(cudnnHandle_t handle, cudaStream_t stream) {
    handle->stream = stream;
    return called("SetStream", " %p", (void *)stream);
}
cudnnStatus_t cudnnCreateTensorDescriptor(cudnnTensorDescriptor_t *one) { return made("CreateTensor", one); }
cudnnStatus_t cudnnDestroyTensorDescriptor(cudnnTensorDescriptor_t one) { return gone("DestroyTensor", one); }
cudnnStatus_t cudnnSetTensor4dDescriptor(cudnnTensorDescriptor_t one, cudnnTensorFormat_t format,
                                         cudnnDataType_t type, int n, int c, int h, int w) {
    *one = {int(type), n, c, h, w};
    return called("SetTensor", " %d %d %d %d %d %d", int(format), int(type), n, c, h, w);
}
cudnnStatus_t cudnnCreateFilterDescriptor(cudnnFilterDescriptor_t *one) { return made("CreateFilter", one); }
cudnnStatus_t cudnnDestroyFilterDescriptor(cudnnFilterDescriptor_t one) { return gone("DestroyFilter", one); }
cudnnStatus_t cudnnSetFilter4dDescriptor(cudnnFilterDescriptor_t one, cudnnDataType_t type,
                                         cudnnTensorFormat_t format, int k, int c, int h, int w) {
    *one = {int(type), k, c, h, w};
    return called("SetFilter", " %d %d %d %d %d %d", int(type), int(format), k, c, h, w);
}
cudnnStatus_t cudnnCreateConvolutionDescriptor(cudnnConvolutionDescriptor_t *one) { return made("CreateConvolution", one); }
cudnnStatus_t cudnnDestroyConvolutionDescriptor(cudnnConvolutionDescriptor_t one) { return gone("DestroyConvolution", one); }
cudnnStatus_t cudnnSetConvolution2dDescriptor(cudnnConvolutionDescriptor_t one, int pad_h, int pad_w, int u, int v,
                                              int dilation_h, int dilation_w, cudnnConvolutionMode_t mode,
                                              cudnnDataType_t computeType) {
    *one = {pad_h, pad_w, u, v, dilation_h, dilation_w, int(mode), int(computeType)};
    return called("SetConvolution", " %d %d %d %d %d %d %d %d", pad_h, pad_w, u, v, dilation_h, dilation_w,
                  int(mode), int(computeType));
}
cudnnStatus_t cudnnSetConvolutionGroupCount(cudnnConvolutionDescriptor_t one, int groups) {
    one->groups = groups;
    return called("SetGroups", " %d", groups);
}
cudnnStatus_t cudnnSetConvolutionMathType(cudnnConvolutionDescriptor_t one, cudnnMathType_t math) {
    one->math = int(math);
    return called("SetMath", " %d", int(math));
}
cudnnStatus_t cudnnGetConvolutionForwardWorkspaceSize(cudnnHandle_t, const cudnnTensorDescriptor_t,
                                                      const cudnnFilterDescriptor_t,
                                                      const cudnnConvolutionDescriptor_t one,
                                                      const cudnnTensorDescriptor_t, cudnnConvolutionFwdAlgo_t algo,
                                                      size_t *bytes) {
    return workspace("GetWorkspace", int(algo), one->mode, bytes);
}
cudnnStatus_t cudnnGetConvolutionBackwardDataWorkspaceSize(cudnnHandle_t, const cudnnFilterDescriptor_t,
                                                           const cudnnTensorDescriptor_t,
                                                           const cudnnConvolutionDescriptor_t one,
                                                           const cudnnTensorDescriptor_t,
                                                           cudnnConvolutionBwdDataAlgo_t algo, size_t *bytes) {
    return workspace("GetDataWorkspace", int(algo), one->mode, bytes);
}
cudnnStatus_t cudnnGetConvolutionBackwardFilterWorkspaceSize(cudnnHandle_t, const cudnnTensorDescriptor_t,
                                                             const cudnnTensorDescriptor_t,
                                                             const cudnnConvolutionDescriptor_t one,
                                                             const cudnnFilterDescriptor_t,
                                                             cudnnConvolutionBwdFilterAlgo_t algo, size_t *bytes) {
    return workspace("GetFilterWorkspace", int(algo), one->mode, bytes);
}
cudnnStatus_t cudnnGetConvolutionForwardAlgorithm_v7(cudnnHandle_t, const cudnnTensorDescriptor_t,
                                                     const cudnnFilterDescriptor_t,
                                                     const cudnnConvolutionDescriptor_t,
                                                     const cudnnTensorDescriptor_t, const int requested,
                                                     int *returned, cudnnConvolutionFwdAlgoPerf_t *found) {
    *returned = 2;
    std::memset(found, 0, sizeof(*found) * size_t(requested));
    for (int i = 0; i < 2; ++i) {
        found[i].algo = cudnnConvolutionFwdAlgo_t(1);
        found[i].mathType = cudnnMathType_t(i == 1 && with_tensor_cores ? CUDNN_TENSOR_OP_MATH : CUDNN_DEFAULT_MATH);
    }
    return called("GetAlgorithms", " %d", requested);
}
cudnnStatus_t cudnnConvolutionForward(cudnnHandle_t handle, const void *alpha, const cudnnTensorDescriptor_t xd,
                                      const void *x, const cudnnFilterDescriptor_t wd, const void *w,
                                      const cudnnConvolutionDescriptor_t d, cudnnConvolutionFwdAlgo_t algo,
                                      void *workspace, size_t bytes, const void *beta,
                                      const cudnnTensorDescriptor_t yd, void *y) {
    return run("Forward", handle, alpha, *xd, *wd, *d, *yd, 2, x, w, y, int(algo), workspace, bytes, beta);
}
cudnnStatus_t cudnnConvolutionBackwardData(cudnnHandle_t handle, const void *alpha, const cudnnFilterDescriptor_t wd,
                                           const void *w, const cudnnTensorDescriptor_t yd, const void *dy,
                                           const cudnnConvolutionDescriptor_t d, cudnnConvolutionBwdDataAlgo_t algo,
                                           void *workspace, size_t bytes, const void *beta,
                                           const cudnnTensorDescriptor_t xd, void *dx) {
    return run("BackwardData", handle, alpha, *xd, *wd, *d, *yd, 0, w, dy, dx, int(algo), workspace, bytes, beta);
}
cudnnStatus_t cudnnConvolutionBackwardFilter(cudnnHandle_t handle, const void *alpha, const cudnnTensorDescriptor_t xd,
                                             const void *x, const cudnnTensorDescriptor_t yd, const void *dy,
                                             const cudnnConvolutionDescriptor_t d,
                                             cudnnConvolutionBwdFilterAlgo_t algo, void *workspace, size_t bytes,
                                             const void *beta, const cudnnFilterDescriptor_t wd, void *dw) {
    return run("BackwardFilter", handle, alpha, *xd, *wd, *d, *yd, 1, x, dy, dw, int(algo), workspace, bytes, beta);
}
}
