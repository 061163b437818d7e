/* Threads that share the strips of a batch. They wait spinning for a moment, then as long as Python takes between two
 * calls of a training step, giving way to other threads; for a sleeping thread takes longer to wake than a small kernel
 * to compute. Then they sleep. C11 and POSIX threads.
 */

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Works on the samples start <= i < stop. given: what it needs; own: arrays of zeros of this strip alone, to add to. 0,
 * or -1 for failure. */
typedef int kernel(int start, int stop, void *const *given, void *const *own);

/* Arrays that each strip has one of: those of all strips lie behind each other. */
struct sums { char *start; int64_t n_bytes; };
#define MOST_SUMS 3

struct work {
    kernel *compute;
    const int *bounds; /* where strips begin; behind them, where the last one ends */
    void *const *given;
    const struct sums *sums;
    int n_strips, n_sums, n_helpers;
    atomic_int n_taken, n_from_end[2], failed;
};

#define N_SPINS 20000 /* some ten microseconds */
#define N_YIELDS 5000 /* one or two milliseconds, where nobody else wants the core */

static struct {
    pthread_mutex_t used, lock; /* by one caller at a time; of what follows */
    pthread_cond_t wake;
    atomic_int generation, n_at_work; /* of works; helpers that are not through with the last one */
    int n_helpers;
    struct work *work;
} team = {.used = PTHREAD_MUTEX_INITIALIZER, .lock = PTHREAD_MUTEX_INITIALIZER, .wake = PTHREAD_COND_INITIALIZER};

/* Some threads take strips from the first one on, the others from the last one back, kernel after kernel: what a strip
 * reads is then mostly in the cache of the core that wrote it. */
static void take_strips(struct work *w, int from_last)
{
    while (atomic_fetch_add(&w->n_taken, 1) < w->n_strips) {
        const int from_end = atomic_fetch_add(&w->n_from_end[from_last], 1);
        const int s = from_last ? w->n_strips - 1 - from_end : from_end;
        void *own[MOST_SUMS];
        for (int i = 0; i < w->n_sums; i++)
            own[i] = memset(w->sums[i].start + s * w->sums[i].n_bytes, 0, w->sums[i].n_bytes);
        if (w->compute(w->bounds[s], w->bounds[s + 1], w->given, own)) atomic_store(&w->failed, 1);
    }
}

/* The life of a helper; it came after so many works. */
static void *help(void *number_and_generation)
{
    const int number = ((int *)number_and_generation)[0];
    int seen = ((int *)number_and_generation)[1];
    free(number_and_generation);
    for (;;) {
        for (int i = 0; i < N_SPINS + N_YIELDS && atomic_load(&team.generation) == seen; i++)
            if (i >= N_SPINS) sched_yield();
        pthread_mutex_lock(&team.lock);
        while (atomic_load(&team.generation) == seen) pthread_cond_wait(&team.wake, &team.lock);
        seen = atomic_load(&team.generation);
        pthread_mutex_unlock(&team.lock);
        if (number < team.work->n_helpers) take_strips(team.work, number % 2 == 0);
        atomic_fetch_sub(&team.n_at_work, 1);
    }
    return 0;
}

static void call_helpers(int n_wanted)
{
    for (; team.n_helpers < n_wanted; team.n_helpers++) {
        pthread_t thread;
        int *facts = malloc(2 * sizeof(int));
        if (!facts) return;
        facts[0] = team.n_helpers, facts[1] = atomic_load(&team.generation);
        if (pthread_create(&thread, 0, help, facts)) {
            free(facts);
            return; /* fewer threads: slower, and as right */
        }
        pthread_detach(thread);
    }
}

/* Computes all strips with so many threads, this one among them. Other callers meanwhile compute alone. */
int branchynet_share(kernel *compute, const int *bounds, int n_strips, int n_threads, void *const *given,
                     const struct sums *sums, int n_sums)
{
    struct work w = {compute, bounds, given, sums, n_strips, n_sums, n_threads - 1, 0, {0, 0}, 0};
    if (n_threads < 2 || n_strips < 2 || pthread_mutex_trylock(&team.used)) {
        take_strips(&w, 0);
        return -w.failed;
    }
    call_helpers(w.n_helpers);
    team.work = &w;
    atomic_store(&team.n_at_work, team.n_helpers);
    pthread_mutex_lock(&team.lock);
    atomic_fetch_add(&team.generation, 1);
    pthread_cond_broadcast(&team.wake);
    pthread_mutex_unlock(&team.lock);
    take_strips(&w, 0);
    for (int i = 0; atomic_load(&team.n_at_work); i++)
        if (i > N_SPINS) sched_yield();
    pthread_mutex_unlock(&team.used);
    return -w.failed;
}

/* In a forked child, where the helpers are not. */
void branchynet_forget_helpers(void)
{
    pthread_mutex_init(&team.used, 0), pthread_mutex_init(&team.lock, 0), pthread_cond_init(&team.wake, 0);
    team.n_helpers = 0;
}
