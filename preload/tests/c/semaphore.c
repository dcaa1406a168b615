/* semaphore NAME FLAGS MODE VALUE [post|wait|try|twice|pair]: opens and does that. */
#include "common.h"
#include <sys/wait.h>

static int both_ways(sem_t *sem, const char *name)
{
	/* The child opens by name, the parent has it open: each waits for the other. */
	pid_t child = fork();
	if (child == 0) {
		sem_t *mine = sem_open(name, 0);
		if (mine == SEM_FAILED || sem_post(mine) != 0)
			_exit(1);
		_exit(sem_close(mine) != 0);
	}
	int status;
	if (sem_wait(sem) != 0)
		return failed("sem_wait");
	waitpid(child, &status, 0);
	printf("child %d\n", status);
	return 0;
}

int main(int argc, char **argv)
{
	const char *name = name_of(argv[1]), *step = argc > 5 ? argv[5] : "";
	int flags = flags_of(argv[2]), value = -1;
	sem_t *sem = flags & O_CREAT
		? sem_open(name, flags, (mode_t)strtol(argv[3], NULL, 8), (unsigned)strtoul(argv[4], NULL, 0))
		: sem_open(name, flags);
	if (sem == SEM_FAILED)
		return failed("sem_open");
	if (strcmp(step, "post") == 0 && sem_post(sem) != 0)
		return failed("sem_post");
	if (strcmp(step, "wait") == 0 && sem_wait(sem) != 0)
		return failed("sem_wait");
	if (strcmp(step, "try") == 0 && sem_trywait(sem) != 0)
		return failed("sem_trywait");
	if (strcmp(step, "pair") == 0 && both_ways(sem, name) != 0)
		return 1;
	if (strcmp(step, "twice") == 0) {
		sem_t *again = sem_open(name, 0);
		printf("same %d", again == sem);
		printf(" close %d", sem_close(again));
		printf(" usable %d", sem_post(sem) == 0 && sem_trywait(sem) == 0);
		printf(" close %d", sem_close(sem));
		printf(" again %d", sem_close(sem));
		printf(" %s\n", errno_name());
		return 0;
	}
	sem_getvalue(sem, &value);
	printf("ok value %d\n", value);
	return sem_close(sem);
}
