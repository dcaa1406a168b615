/* threads NAME [FORKS]: cancellation in our read, signals that write, forks while others open and close. */
#include "common.h"
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/wait.h>

static atomic_int cleaned, stop;
static int pipes[2];
static const char *name;

static void clean(void *arg)
{
	(void)arg;
	cleaned = 1;
}

static void *block(void *arg)
{
	char byte;
	pthread_cleanup_push(clean, NULL);
	if (read(pipes[0], &byte, 1) != 1)
		abort();
	pthread_cleanup_pop(0);
	return arg;
}

static void *open_and_close(void *arg)
{
	do {
		sem_t *sem = sem_open(name, O_CREAT, 0600, 1);
		if (sem == SEM_FAILED || sem_close(sem) != 0)
			abort();
		int fd = shm_open(name, O_RDWR | O_CREAT, 0600);
		if (fd < 0)
			abort();
		close(fd);
	} while (!stop);
	return arg;
}

static void handler(int signal)
{
	(void)signal;
	int keep = errno;
	if (write(pipes[1], "s", 1) != 1)
		_exit(9);
	errno = keep;
}

int main(int argc, char **argv)
{
	int forks = argc > 2 ? atoi(argv[2]) : 40;
	pthread_t thread, others[3];
	void *result;
	name = argv[1];
	if (pipe(pipes) != 0)
		return failed("pipe");
	pthread_create(&thread, NULL, block, NULL);
	while (pthread_cancel(thread) != 0)
		;
	pthread_join(thread, &result);
	printf("cancelled %d cleaned %d\n", result == PTHREAD_CANCELED, cleaned);
	for (int i = 0; i < 3; i++)
		pthread_create(&others[i], NULL, open_and_close, NULL);
	for (int i = 0; i < forks; i++) {
		pid_t child = fork();
		if (child == 0) {
			sem_t *sem = sem_open(name, O_CREAT, 0600, 1);
			_exit(sem == SEM_FAILED || sem_close(sem) != 0);
		}
		int status;
		waitpid(child, &status, 0);
		if (status != 0)
			return failed("child");
	}
	stop = 1;
	for (int i = 0; i < 3; i++)
		pthread_join(others[i], NULL);
	signal(SIGUSR1, handler);
	raise(SIGUSR1);
	char byte = 0;
	printf("handled %ld\n", (long)read(pipes[0], &byte, 1));
	return 0;
}
