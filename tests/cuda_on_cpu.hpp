/* CUDA C on the CPU, for tests: every thread of the grid is a fiber, which runs until it waits at a barrier, an exchange
 * within its warp, or another block. Shared memory begins as NaN, and each warp runs as far ahead of the others as it can,
 * so that a missing barrier shows. A block is whole warps. */
#include <cmath>
#include <csetjmp>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <ucontext.h>
#include <vector>

#define __global__
#define __device__
#define __forceinline__ inline
#define __noinline__
#define __launch_bounds__(threads, resident)

struct index3 { unsigned x, y, z; };
struct float4 { float x, y, z, w; };
struct uchar4 { unsigned char x, y, z, w; };

namespace emulation {

/* Threads that wait for each other: a block, or a warp of it. */
struct barrier { unsigned members = 0, waiting = 0, rounds = 0; };

struct fiber {
    ucontext_t context; /* where it begins */
    jmp_buf place;      /* where it goes on */
    std::vector<char> stack = std::vector<char>(1 << 16);
    index3 thread, block;
    bool is_started = false, is_done = false, is_asleep = false;
    barrier *awaited = nullptr;
    unsigned round = 0;
};

inline std::vector<fiber> fibers;
inline std::vector<barrier> blocks, warps;
inline std::vector<std::vector<float>> shared;
inline std::vector<float> exchanged; /* what each thread gives to its warp */
inline ucontext_t before;
inline jmp_buf scheduler;
inline fiber *current;
inline unsigned block_size, n_blocks;
inline bool from_the_first; /* warp that is: a block has met at a barrier */

inline unsigned number() { return current->block.x * block_size + current->thread.x; }
inline unsigned warps_a_block() { return (block_size + 31) / 32; }
inline barrier *warp() { return &warps[current->block.x * warps_a_block() + current->thread.x / 32]; }

/* A jump takes no system call, as a change of contexts does. */
inline void give_way()
{
    if (!_setjmp(current->place)) _longjmp(scheduler, 1);
}

inline void go_on(fiber &f)
{
    current = &f;
    if (_setjmp(scheduler)) return;
    if (f.is_started) _longjmp(f.place, 1);
    f.is_started = true;
    swapcontext(&before, &f.context);
}

inline void wait_at(barrier *b)
{
    current->round = b->rounds;
    if (++b->waiting == b->members) {
        b->waiting = 0;
        b->rounds++;
        return;
    }
    current->awaited = b;
    give_way();
    current->awaited = nullptr;
}

} /* namespace emulation */

#define threadIdx (emulation::current->thread)
#define blockIdx (emulation::current->block)
#define blockDim (index3{emulation::block_size, 1, 1})
#define gridDim (index3{emulation::n_blocks, 1, 1})
#define FETCH(address) (void)(address)
#define ARRIVE(count) ++*(count)
#define ARRIVALS(count) (*(volatile unsigned long long *)(count))
#define SHARED_MEMORY(name) float *name = emulation::shared[emulation::current->block.x].data()

inline void __syncthreads()
{
    emulation::barrier *block = &emulation::blocks[emulation::current->block.x];
    const unsigned round = block->rounds;
    emulation::wait_at(block);
    if (block->waiting == 0 && block->rounds == round + 1 && !emulation::from_the_first) {
        emulation::from_the_first = true; /* or the last to come would always be ahead */
        emulation::give_way();
    }
}
inline void __threadfence() {}
inline void __threadfence_system() {}
inline void __nanosleep(unsigned)
{
    emulation::current->is_asleep = true;
    emulation::give_way();
    emulation::current->is_asleep = false;
}

inline float __shfl_xor_sync(unsigned, float value, int distance)
{
    emulation::exchanged[emulation::number()] = value;
    emulation::wait_at(emulation::warp());
    const float got = emulation::exchanged[emulation::number() ^ distance];
    emulation::wait_at(emulation::warp());
    return got;
}

template <class T> inline T atomicAdd(T *at, T value)
{
    const T before = *at;
    *at += value;
    return before;
}

inline float __int_as_float(unsigned bits) { float value; std::memcpy(&value, &bits, 4); return value; }
inline int __float_as_int(float value) { int bits; std::memcpy(&bits, &value, 4); return bits; }

namespace emulation {

inline void (*body)();

/* Lets the threads of a warp go on; whether one did more than look whether others came. */
inline bool run_warp(unsigned first, unsigned &left)
{
    bool moved = false;
    for (unsigned i = first; i < first + 32 && !from_the_first; i++) {
        fiber &f = fibers[i];
        if (f.is_done || (f.awaited && f.awaited->rounds == f.round)) continue;
        go_on(f);
        moved = moved || !f.is_asleep;
        left -= f.is_done;
    }
    return moved;
}

/* Runs the kernel that `body` calls, all blocks side by side; returns false if no thread can go on. */
inline bool run(unsigned grid, unsigned threads, unsigned shared_floats)
{
    n_blocks = grid, block_size = threads;
    blocks.assign(grid, barrier{threads});
    warps.assign(grid * warps_a_block(), barrier{32});
    shared.assign(grid, std::vector<float>(shared_floats, std::nanf("")));
    exchanged.assign(grid * threads, 0);
    if (fibers.size() < grid * threads) fibers = std::vector<fiber>(grid * threads);
    for (unsigned i = 0; i < grid * threads; i++) {
        fiber &f = fibers[i];
        f.thread = {i % threads, 0, 0}, f.block = {i / threads, 0, 0}, f.is_started = f.is_done = false;
        f.awaited = nullptr;
        getcontext(&f.context);
        f.context.uc_stack.ss_sp = f.stack.data(), f.context.uc_stack.ss_size = f.stack.size();
        makecontext(&f.context, +[] { body(), current->is_done = true, _longjmp(scheduler, 1); }, 0);
    }
    for (unsigned left = grid * threads, idle = 0; left > 0;) {
        bool moved = false;
        from_the_first = false;
        for (unsigned first = 0; first < grid * threads && !from_the_first; first += 32)
            while (!from_the_first && run_warp(first, left)) moved = true; /* as far as it gets, ahead of the others */
        moved = moved || from_the_first;
        idle = moved ? 0 : idle + 1;
        if (idle > 2) return false;
    }
    return true;
}

} /* namespace emulation */
