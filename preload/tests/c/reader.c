/* reader NAME FLAGS: opens, and prints the text that it finds through a mapping. */
#include "common.h"

int main(int argc, char **argv)
{
	(void)argc;
	int fd = shm_open(name_of(argv[1]), flags_of(argv[2]), 0600);
	if (fd < 0)
		return failed("shm_open");
	char *at = mmap(NULL, 100, PROT_READ, MAP_SHARED, fd, 0);
	if (at == MAP_FAILED)
		return failed("mmap");
	printf("ok %s\n", at);
	return 0;
}
