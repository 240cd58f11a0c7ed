/* unit.c - runs the unit tests that are named, or all */
#include "check.h"

#include <stdbool.h>
#include <string.h>

check_test *check_tests;

int main(int count, char **names)
{
    int run = 0;

    for (const check_test *test = check_tests; test != NULL; test = test->next) {
        bool wanted = count == 1;
        for (int i = 1; i < count; i++) {
            wanted = wanted || strcmp(names[i], test->name) == 0;
        }
        if (wanted) {
            printf("%s\n", test->name);
            fflush(stdout);
            test->run();
            run++;
        }
    }
    printf("%d run\n", run);
    return run > 0 && (count == 1 || run == count - 1) ? 0 : 1;
}
