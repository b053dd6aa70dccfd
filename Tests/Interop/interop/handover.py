"""Hands one message from Postfix's pipe(8) to a trusted listener, naming the authenticated user by XCLIENT.

  handover.py PORT LOGIN CLIENT_ADDRESS SENDER RECIPIENT…     (the message on standard input, with CRLF)

Postfix's own SMTP client cannot send XCLIENT; this is how a Postfix that has authenticated the user passes his name on.
Exit codes are sysexits, as pipe(8) wants them.
"""

import smtplib
import sys

EX_DATAERR, EX_UNAVAILABLE, EX_TEMPFAIL = 65, 69, 75


def xtext(value: str) -> str:
    """RFC 3461 §4."""
    return "".join(letter if "!" <= letter <= "~" and letter not in "+=" else f"+{ord(letter):02X}" for letter in value)


def main() -> int:
    port, login, address, sender, *recipients = sys.argv[1:]
    message = sys.stdin.buffer.read()
    try:
        with smtplib.SMTP("127.0.0.1", int(port), timeout=60) as client:
            client.ehlo()
            if "xclient" not in client.esmtp_features:
                print("5.7.0 the next hop does not announce XCLIENT to us")
                return EX_UNAVAILABLE
            code, text = client.docmd("XCLIENT", f"ADDR={address} PROTO=ESMTP LOGIN={xtext(login)}")
            if code != 220:
                print(f"XCLIENT: {code} {text.decode()}")
                return EX_TEMPFAIL if code < 500 else EX_UNAVAILABLE
            client.ehlo()
            client.sendmail(sender, recipients, message)
        return 0
    except smtplib.SMTPResponseException as error:
        print(f"{error.smtp_code} {error.smtp_error.decode()}")
        return EX_TEMPFAIL if error.smtp_code < 500 else EX_UNAVAILABLE
    except smtplib.SMTPRecipientsRefused as error:
        print(error)
        return EX_DATAERR
    except (OSError, smtplib.SMTPException) as error:
        print(error)
        return EX_TEMPFAIL


if __name__ == "__main__":
    sys.exit(main())
