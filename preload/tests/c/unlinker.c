/* unlinker shm|sem NAME: takes the name away. */
#include "common.h"

int main(int argc, char **argv)
{
	(void)argc;
	int sem = strcmp(argv[1], "sem") == 0;
	const char *name = name_of(argv[2]);
	if ((sem ? sem_unlink(name) : shm_unlink(name)) != 0)
		return failed(sem ? "sem_unlink" : "shm_unlink");
	printf("ok\n");
	return 0;
}
