/*
 * host_name.c - is this certificate for that host? (RFC 9525)
 *
 * Reads the DER of the subjectAltName extension itself instead of having crypt32 decode
 * it into NUL-terminated strings: a dNSName with a NUL inside
 * ("good.example\0.evil.example") must be compared as the bytes it is.
 *
 *   GeneralNames ::= SEQUENCE OF GeneralName         tag 0x30
 *   GeneralName  ::= dNSName [2] IA5String           tag 0x82
 *                  | iPAddress [7] OCTET STRING      tag 0x87, 4 or 16 bytes
 *
 * An IP address is compared with iPAddress entries only, a DNS name with dNSName
 * entries only. The subject's common name is never looked at. Malformed DER matches
 * nothing.
 */
#include "schan_internal.h"

enum { tag_sequence = 0x30, tag_dns_name = 0x82, tag_ip_address = 0x87 };

/* ---------------------------------------------------------------- DNS names */

static uint8_t lower(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? (uint8_t)(c + ('a' - 'A')) : c;
}

/* Compares ASCII without regard to case; a reference outside ASCII equals nothing. */
static bool equal_text(const uint8_t *presented, const wchar_t *reference, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (reference[i] >= 0x80 ||
            lower(presented[i]) != lower((uint8_t)reference[i])) {
            return false;
        }
    }
    return true;
}

static bool has_two_labels(const uint8_t *name, size_t size)
{
    const uint8_t *dot = memchr(name, '.', size);

    return dot != NULL && dot > name && dot + 1 < name + size;
}

/* "*.example.org" stands for one label, and for no public suffix of one label such as
 * "*.org". */
static bool wildcard_matches(schan_span presented, const wchar_t *reference,
                             size_t size)
{
    size_t first_label = 0;

    while (first_label < size && reference[first_label] != L'.') {
        first_label++;
    }
    size_t suffix = presented.size - 1; /* with its dot */
    return first_label > 0 && size - first_label == suffix &&
           has_two_labels(presented.data + 2, presented.size - 2) &&
           equal_text(presented.data + 1, reference + first_label, suffix);
}

static bool dns_name_matches(schan_span presented, const wchar_t *reference,
                             size_t size)
{
    if (presented.size > 0 && presented.data[presented.size - 1] == '.') {
        presented.size--; /* absolute form of the same name */
    }
    if (presented.size == 0 || size == 0) {
        return false;
    }
    if (presented.size > 2 && presented.data[0] == '*' && presented.data[1] == '.') {
        return wildcard_matches(presented, reference, size);
    }
    return presented.size == size && equal_text(presented.data, reference, size);
}

/* ------------------------------------------------------------------- match */

static bool address_matches(schan__der name, schan_span address)
{
    return name.tag == tag_ip_address && address.size > 0 &&
           name.content.size == address.size &&
           memcmp(name.content.data, address.data, address.size) == 0;
}

int schan_host_name_matches(schan_span subject_alt_name, const wchar_t *host_name,
                            schan_span ip_address)
{
    schan__der names = {0};
    schan__der name = {0};
    size_t size = host_name == NULL ? 0 : wcslen(host_name);
    bool is_match = false;

    if (size > 0 && host_name[size - 1] == L'.') {
        size--;
    }
    if (!schan__der_next(&subject_alt_name, &names) || names.tag != tag_sequence ||
        subject_alt_name.size != 0) {
        return 0;
    }
    while (names.content.size > 0) {
        if (!schan__der_next(&names.content, &name)) {
            return 0;
        }
        is_match = is_match || address_matches(name, ip_address) ||
                   (name.tag == tag_dns_name &&
                    dns_name_matches(name.content, host_name, size));
    }
    return is_match;
}
