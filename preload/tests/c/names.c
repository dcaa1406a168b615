/* names: reads lines `open HEX`, `unlink HEX`, `sem_open HEX` or `sem_unlink HEX`; answers each. */
#include "common.h"

int main(void)
{
	static char op[32], hex[20000], name[10000];
	while (scanf("%31s %19999s", op, hex) == 2) {
		size_t len = strcmp(hex, "-") == 0 ? 0 : strlen(hex) / 2;
		for (size_t i = 0; i < len; i++) {
			unsigned byte;
			sscanf(hex + 2 * i, "%2x", &byte);
			name[i] = byte;
		}
		name[len] = 0;
		int bad = 1;
		if (strcmp(op, "open") == 0) {
			int fd = shm_open(name, O_RDWR | O_CREAT, 0600);
			bad = fd < 0;
			if (!bad)
				close(fd);
		} else if (strcmp(op, "unlink") == 0) {
			bad = shm_unlink(name);
		} else if (strcmp(op, "sem_open") == 0) {
			sem_t *sem = sem_open(name, O_CREAT, 0600, 1);
			bad = sem == SEM_FAILED;
			if (!bad)
				sem_close(sem);
		} else if (strcmp(op, "sem_unlink") == 0) {
			bad = sem_unlink(name);
		}
		printf("%s\n", bad ? errno_name() : "ok");
	}
	return 0;
}
