"""DMARC reports: the model, and the way to XML, to mail, and back.

RFC 9990 (aggregate reports); RFC 7489's form is read too.

    aggregate     what a report says
    writer        a report as XML and gzip
    letter        the mail that carries it
    destinations  who wants it, and may have it
    unpack        any file that somebody sent, down to its XML
    reader        XML to a report
    advice        many reports to plain words about one domain

Fails: never for bad input; what cannot be read is a value that says why.
"""
