/* What the test programs share: failing loudly, and one shared object's layout. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define OBJECT_SIZE (1 << 20)
#define TURNS 1000
enum { WRITER, READER };

/* want: what must be so. must: a call that must not return -1. */
#define want(condition) \
	((condition) ? (void)0 : fail(__FILE__, __LINE__, #condition))
#define must(call) must_(call, __FILE__, __LINE__, #call)

__attribute__((unused, noreturn))
static void fail(const char *file, int line, const char *what)
{
	fprintf(stderr, "%s:%d: not so: %s (errno: %s)\n", file, line, what, strerror(errno));
	exit(1);
}

__attribute__((unused))
static int must_(int result, const char *file, int line, const char *what)
{
	if (result == -1)
		fail(file, line, what);
	return result;
}

__attribute__((unused))
static void need_args(int argc, int wanted)
{
	if (argc == wanted)
		return;
	fprintf(stderr, "%d arguments instead of %d\n", argc - 1, wanted - 1);
	exit(2);
}

struct shared {
	pthread_mutex_t mutex;
	pthread_cond_t changed;
	int turn;
	int value;
	char text[64];
	char fill[OBJECT_SIZE - 4096];
	char tail[64];
};
_Static_assert(sizeof(struct shared) <= OBJECT_SIZE, "fits");

__attribute__((unused))
static struct shared *map(int fd, int prot)
{
	void *at = mmap(NULL, OBJECT_SIZE, prot, MAP_SHARED, fd, 0);
	want(at != MAP_FAILED);
	return at;
}

/* A process-shared mutex and condition: futexes on shared memory. */
__attribute__((unused))
static void init_shared(struct shared *shared)
{
	pthread_mutexattr_t mutex;
	pthread_condattr_t cond;
	want(pthread_mutexattr_init(&mutex) == 0);
	want(pthread_mutexattr_setpshared(&mutex, PTHREAD_PROCESS_SHARED) == 0);
	want(pthread_mutexattr_setrobust(&mutex, PTHREAD_MUTEX_ROBUST) == 0);
	want(pthread_mutex_init(&shared->mutex, &mutex) == 0);
	want(pthread_condattr_init(&cond) == 0);
	want(pthread_condattr_setpshared(&cond, PTHREAD_PROCESS_SHARED) == 0);
	want(pthread_cond_init(&shared->changed, &cond) == 0);
	shared->turn = WRITER;
}

#define lock(shared) want(pthread_mutex_lock(&(shared)->mutex) == 0)
#define unlock(shared) want(pthread_mutex_unlock(&(shared)->mutex) == 0)
#define wake(shared) want(pthread_cond_broadcast(&(shared)->changed) == 0)
#define wait_turn(shared) want(pthread_cond_wait(&(shared)->changed, &(shared)->mutex) == 0)
