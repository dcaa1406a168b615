/* glibc's named semaphores between unrelated processes: one program, four roles.
 *
 * sem_open makes a temporary file, links it to its name and unlinks it; two
 * openers of one name must find one semaphore. */
#include "program.h"

#define ROUNDS 2000

static void create(const char *name)
{
	sem_t *sem = sem_open(name, O_CREAT | O_EXCL, 0600, 3);
	want(sem != SEM_FAILED);
	want(sem_open(name, O_CREAT | O_EXCL, 0600, 0) == SEM_FAILED && errno == EEXIST);
	/* O_CREAT alone opens what is there, its value untouched. */
	sem_t *again = sem_open(name, O_CREAT, 0600, 7);
	want(again == sem);
	int value;
	must(sem_getvalue(sem, &value));
	want(value == 3);
	must(sem_wait(sem));
	must(sem_wait(sem));
	must(sem_wait(sem));
	want(sem_trywait(sem) == -1 && errno == EAGAIN);
}

/* ping waits on the first and posts the second; pong the other way. */
static void play(const char *wait_name, const char *post_name)
{
	sem_t *wait = sem_open(wait_name, 0);
	sem_t *post = sem_open(post_name, 0);
	want(wait != SEM_FAILED && post != SEM_FAILED);
	for (int round = 0; round < ROUNDS; round++) {
		must(sem_wait(wait));
		must(sem_post(post));
	}
}

static void start(const char *name)
{
	sem_t *sem = sem_open(name, 0);
	want(sem != SEM_FAILED);
	must(sem_post(sem));
}

static void end(const char *name)
{
	sem_t *sem = sem_open(name, 0);
	want(sem != SEM_FAILED);
	must(sem_unlink(name));
	want(sem_unlink(name) == -1 && errno == ENOENT);
	want(sem_open(name, 0) == SEM_FAILED && errno == ENOENT);
	/* The unlinked one still works; a new one of that name is another. */
	must(sem_post(sem));
	sem_t *fresh = sem_open(name, O_CREAT | O_EXCL, 0600, 0);
	want(fresh != SEM_FAILED && fresh != sem);
	want(sem_trywait(fresh) == -1 && errno == EAGAIN);
	must(sem_wait(sem));
	must(sem_unlink(name));
}

int main(int argc, char **argv)
{
	want(argc >= 3);
	if (strcmp(argv[1], "create") == 0)
		create(argv[2]);
	else if (strcmp(argv[1], "start") == 0)
		start(argv[2]);
	else if (strcmp(argv[1], "end") == 0)
		end(argv[2]);
	else if (strcmp(argv[1], "play") == 0 && argc == 4)
		play(argv[2], argv[3]);
	else
		want(!"a known role");
	return 0;
}
