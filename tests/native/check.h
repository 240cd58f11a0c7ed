/*
 * check.h - unit tests: TEST(name) { CHECK(...); }
 *
 * Each TEST is found by its name in the source (tests/test_native.py) and run in a process
 * of its own. CHECK_EQUAL wants the expected value on the left.
 */
#ifndef CHECK_H
#define CHECK_H

#include <stdio.h>
#include <stdlib.h>

typedef struct check_test {
    const char *name;
    void (*run)(void);
    struct check_test *next;
} check_test;

extern check_test *check_tests;

#define TEST(name)                                                                     \
    static void name(void);                                                            \
    __attribute__((constructor)) static void add_##name(void)                          \
    {                                                                                  \
        static check_test test = {#name, name, NULL};                                  \
        test.next = check_tests;                                                       \
        check_tests = &test;                                                           \
    }                                                                                  \
    static void name(void)

#define CHECK(condition)                                                               \
    do {                                                                               \
        if (!(condition)) {                                                            \
            fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #condition);  \
            abort();                                                                   \
        }                                                                              \
    } while (0)

#define CHECK_EQUAL(expected, actual)                                                  \
    check_equal(__FILE__, __LINE__, #actual, (long long)(expected), (long long)(actual))

static inline void check_equal(const char *file, int line, const char *text,
                               long long expected, long long actual)
{
    if (expected != actual) {
        fprintf(stderr, "%s:%d: %s is %lld, expected %lld\n", file, line, text, actual,
                expected);
        abort();
    }
}

#endif
