import Foundation
import Octets

/// What is sent in the demonstration.
enum DemonstrationLetters {
  static let letter = wire(
    """
    Message-ID: <lettera-1@mua.pec.alfa.test>
    Date: Sat, 21 Nov 2026 09:00:00 +0100
    From: Anna Rossi <anna@pec.alfa.test>
    To: Bruno Verdi <bruno@pec.beta.test>
    Cc: bianca@pec.beta.test
    Subject: =?UTF-8?Q?Richiesta_di_attivit=C3=A0?=
    MIME-Version: 1.0
    Content-Type: multipart/mixed; boundary="parte"

    --parte
    Content-Type: text/plain; charset=us-ascii

    Buongiorno, in allegato la richiesta.
    --parte
    Content-Type: text/csv; name="richiesta.csv"
    Content-Disposition: attachment; filename="richiesta.csv"
    Content-Transfer-Encoding: base64

    dm9jZTtpbXBvcnRvDQpyaWNoaWVzdGE7MTAwDQo=
    --parte--

    """)

  static let secret = wire(
    """
    Message-ID: <lettera-2@mua.pec.alfa.test>
    Date: Sat, 21 Nov 2026 09:01:00 +0100
    From: Anna Rossi <anna@pec.alfa.test>
    To: bruno@pec.beta.test
    Bcc: nascosto@posta.test
    Subject: Con copia nascosta

    Questo messaggio ha un destinatario nascosto.

    """)

  static let ordinary = wire(
    """
    Message-ID: <cartolina-1@posta.test>
    Date: Sat, 21 Nov 2026 09:02:00 +0100
    From: Giulia Bianchi <giulia@posta.test>
    To: bruno@pec.beta.test
    Subject: Saluti dal mare

    Questa non e' posta certificata.

    """)

  /// A letter with EICAR's test file.
  static let infectedByAnna = infected(
    from: "Anna Rossi <anna@pec.alfa.test>", identifier: "<lettera-3@mua.pec.alfa.test>", subject: "Il programma che mi avevi chiesto")

  /// Another, that goes by a provider that does not look.
  static let infectedByGino = infected(
    from: "Gino Neri <gino@pec.gamma.test>", identifier: "<lettera-1@mua.pec.gamma.test>", subject: "Un altro programma")

  private static func infected(from: String, identifier: String, subject: String) -> [UInt8] {
    wire(
      """
      Message-ID: \(identifier)
      Date: Sat, 21 Nov 2026 09:03:00 +0100
      From: \(from)
      To: bruno@pec.beta.test
      Subject: \(subject)
      MIME-Version: 1.0
      Content-Type: multipart/mixed; boundary="parte"

      --parte
      Content-Type: text/plain; charset=us-ascii

      In allegato.
      --parte
      Content-Type: application/octet-stream; name="programma.com"
      Content-Disposition: attachment; filename="programma.com"
      Content-Transfer-Encoding: base64

      \(String(decoding: Base64.encode(Array(LaboratorySignatures.testString.utf8)), as: UTF8.self))
      --parte--

      """)
  }

  private static func wire(_ text: String) -> [UInt8] { Array(text.replacingOccurrences(of: "\n", with: "\r\n").utf8) }
}
