// A stand-in for libnppif with the signature of its header, structs by value, on the memory of the
// CPU: it keeps what it was told, answers the status that a test asks for, and computes the sum.
//
// Built with -DNPP_HEADER=<npp.h> the real declaration is compiled with it, and a signature that
// differs is an error.
#ifdef NPP_HEADER
#include NPP_HEADER
#else
#include <cstddef>
typedef float Npp32f;
typedef int Npp32s;
typedef enum { NPP_NO_ERROR = 0 } NppStatus;
typedef enum { NPP_BORDER_REPLICATE = 2 } NppiBorderType;
typedef struct { int width, height; } NppiSize;
typedef struct { int x, y; } NppiPoint;
typedef struct CUstream_st *cudaStream_t;
typedef struct {
    cudaStream_t hStream;
    int nCudaDeviceId;
    int nMultiProcessorCount;
    int nMaxThreadsPerMultiProcessor;
    int nMaxThreadsPerBlock;
    size_t nSharedMemPerBlock;
    int nCudaDevAttrComputeCapabilityMajor;
    int nCudaDevAttrComputeCapabilityMinor;
    unsigned int nStreamFlags;
    int nReserved0;
} NppStreamContext;
#endif
#include <algorithm>
#include <cstdio>

static char told[400];
static int status = 0;

extern "C" {
void fake_status(int wanted) { status = wanted; }
const char *fake_told() { return told; }

NppStatus nppiFilterBorder_32f_C1R_Ctx(const Npp32f *pSrc, Npp32s nSrcStep, NppiSize oSrcSize, NppiPoint oSrcOffset,
                                       Npp32f *pDst, Npp32s nDstStep, NppiSize oSizeROI, const Npp32f *pKernel,
                                       NppiSize oKernelSize, NppiPoint oAnchor, NppiBorderType eBorderType,
                                       NppStreamContext c) {
    std::snprintf(told, sizeof told, "%d %p %d %d %d %d %zu %d %d %u %d", int(eBorderType), (void *)c.hStream,
                  c.nCudaDeviceId, c.nMultiProcessorCount, c.nMaxThreadsPerMultiProcessor, c.nMaxThreadsPerBlock,
                  c.nSharedMemPerBlock, c.nCudaDevAttrComputeCapabilityMajor, c.nCudaDevAttrComputeCapabilityMinor,
                  c.nStreamFlags, c.nReserved0);
    for (int i = 0; i < oSizeROI.height; ++i)
    for (int j = 0; j < oSizeROI.width; ++j) {
        double sum = 0;
        for (int r = 0; r < oKernelSize.height; ++r)
        for (int q = 0; q < oKernelSize.width; ++q) {
            // Of the window that begins anchor pixels before, with the kernel turned.
            const int row = i - oAnchor.y + r, column = j - oAnchor.x + q;
            const int y = std::clamp(row, -oSrcOffset.y, oSrcSize.height - 1 - oSrcOffset.y);
            const int x = std::clamp(column, -oSrcOffset.x, oSrcSize.width - 1 - oSrcOffset.x);
            const Npp32f *line = (const Npp32f *)((const char *)pSrc + y * long(nSrcStep));
            const int turned = (oKernelSize.height - 1 - r) * oKernelSize.width + oKernelSize.width - 1 - q;
            sum += double(line[x]) * double(pKernel[turned]);
        }
        ((Npp32f *)((char *)pDst + i * long(nDstStep)))[j] = Npp32f(sum);
    }
    return NppStatus(status);
}
}
