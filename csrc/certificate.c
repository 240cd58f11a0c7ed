/*
 * certificate.c - names and validity of a certificate, for people to read; its public
 * key, for pins; whether two are the same
 */
#include "schan_internal.h"

static const DWORD encoding = X509_ASN_ENCODING | PKCS_7_ASN_ENCODING;

bool schan__certificate_is_same(PCCERT_CONTEXT one, PCCERT_CONTEXT other)
{
    if (one == NULL || other == NULL) {
        return one == other;
    }
    return one->cbCertEncoded == other->cbCertEncoded &&
           memcmp(one->pbCertEncoded, other->pbCertEncoded, one->cbCertEncoded) == 0;
}

bool schan__certificate_is_same_name(const CERT_NAME_BLOB *one,
                                     const CERT_NAME_BLOB *other)
{
    return one->cbData == other->cbData &&
           (one->cbData == 0 || memcmp(one->pbData, other->pbData, one->cbData) == 0);
}

static PCCERT_CONTEXT open_certificate(schan_library *library, schan_span der,
                                       schan_error *err)
{
    ULONG size = 0;
    PCCERT_CONTEXT certificate = NULL;

    if (schan__to_ulong(der.size, &size)) {
        certificate =
            library->system->CertCreateCertificateContext(encoding, der.data, size);
    }
    if (certificate == NULL) {
        schan__fail(err, SCHAN_ERR_SYSTEM, (int32_t)GetLastError(),
                    "CertCreateCertificateContext");
    }
    return certificate;
}

schan_result schan_certificate_name(schan_library *library, schan_span der, int which,
                                    wchar_t *text, size_t capacity, size_t *size,
                                    schan_error *err)
{
    const DWORD style =
        CERT_X500_NAME_STR |
        CERT_NAME_STR_REVERSE_FLAG; /* RFC 4514: the common name first */
    ULONG room = 0;

    *size = 0;
    if (!schan__to_ulong(capacity, &room)) {
        return schan__fail(err, SCHAN_ERR_MISUSE, 0, NULL);
    }
    PCCERT_CONTEXT certificate = open_certificate(library, der, err);
    if (certificate == NULL) {
        return SCHAN_ERR_SYSTEM;
    }
    CERT_NAME_BLOB *name = which == SCHAN_NAME_ISSUER
                               ? &certificate->pCertInfo->Issuer
                               : &certificate->pCertInfo->Subject;
    DWORD needed = library->system->CertNameToStrW(encoding, name, style, NULL, 0);
    if (needed > 0 && needed <= room) {
        needed = library->system->CertNameToStrW(encoding, name, style, text, room);
    }
    *size = needed > 0 ? needed - 1 : 0;
    library->system->CertFreeCertificateContext(certificate);
    return SCHAN_OK;
}

/* 100 ns since 1601 to seconds since 1970. */
static int64_t unix_seconds(FILETIME time)
{
    const int64_t ticks_per_second = 10000000;
    const int64_t seconds_from_1601_to_1970 = 11644473600;
    uint64_t ticks = (uint64_t)time.dwHighDateTime << 32U | time.dwLowDateTime;

    return (int64_t)(ticks / (uint64_t)ticks_per_second) - seconds_from_1601_to_1970;
}

schan_result schan_certificate_validity(schan_library *library, schan_span der,
                                        int64_t *not_before, int64_t *not_after,
                                        schan_error *err)
{
    *not_before = 0;
    *not_after = 0;
    PCCERT_CONTEXT certificate = open_certificate(library, der, err);
    if (certificate == NULL) {
        return SCHAN_ERR_SYSTEM;
    }
    *not_before = unix_seconds(certificate->pCertInfo->NotBefore);
    *not_after = unix_seconds(certificate->pCertInfo->NotAfter);
    library->system->CertFreeCertificateContext(certificate);
    return SCHAN_OK;
}

/* RFC 5280, 4.1: Certificate ::= SEQUENCE { TBSCertificate ::= SEQUENCE { [0] version,
 * serialNumber, signature, issuer, validity, subject, subjectPublicKeyInfo ... } ... } */
schan_span schan_certificate_public_key(schan_span der)
{
    enum { version = 0xa0, integer = 0x02, sequence = 0x30 };
    const schan_span none = {0};
    schan__der element = {0};

    bool is_certificate = schan__der_enter(&der, sequence);
    if (!is_certificate || !schan__der_enter(&der, sequence)) {
        return none;
    }
    if (der.size > 0 && der.data[0] == version && !schan__der_skip(&der, version)) {
        return none;
    }
    if (!schan__der_skip(&der, integer)) {
        return none;
    }
    for (int i = 0; i < 4; i++) { /* signature, issuer, validity, subject */
        if (!schan__der_skip(&der, sequence)) {
            return none;
        }
    }
    return schan__der_next(&der, &element) && element.tag == sequence ? element.whole
                                                                      : none;
}
