/// The mails that the machines work on; the same in every run.
enum Mails {
  static let sender = "anna.rossi@pec.alfa.test"
  static let recipient = "protocollo@pec.beta.test"

  private static let head = """
    Date: Tue, 10 Mar 2026 12:00:00 +0100\r
    From: =?UTF-8?Q?Anna_Rossi?= <\(sender)>\r
    To: Ufficio protocollo <\(recipient)>\r
    Subject: =?UTF-8?Q?Domanda_di_iscrizione_all=27albo_=28integrazione=29?=\r
    Message-ID: <8f14e45f-ceea-467a-9575-7a2c0e7e1d3a@client.alfa.test>\r
    MIME-Version: 1.0\r
    User-Agent: Mozilla Thunderbird\r
    X-TipoRicevuta: completa\r\n
    """

  private static let text = "Si trasmette in allegato quanto richiesto con la nota del 3 marzo.\r\n"

  /// 5 KB: text and HTML.
  static let textAndHTML: [UInt8] = {
    let plain = String(repeating: text, count: 20)
    let page = "<html><body>" + String(repeating: "<p>\(text)</p>\r\n", count: 32) + "</body></html>\r\n"
    return Array(
      (head + "Content-Type: multipart/alternative; boundary=\"------------a1b2\"\r\n\r\n"
        + "--------------a1b2\r\nContent-Type: text/plain; charset=UTF-8\r\n\r\n\(plain)\r\n"
        + "--------------a1b2\r\nContent-Type: text/html; charset=UTF-8\r\n\r\n\(page)\r\n--------------a1b2--\r\n").utf8)
  }()

  /// 1 MB: a short text, and an attachment in Base64.
  static let withAttachment: [UInt8] = {
    let line = String(repeating: "QmVuY2htYXJr", count: 6) + "CRLF\r\n"
    return Array(
      (head + "Content-Type: multipart/mixed; boundary=\"------------c3d4\"\r\n\r\n"
        + "--------------c3d4\r\nContent-Type: text/plain; charset=UTF-8\r\n\r\n\(text)\r\n"
        + "--------------c3d4\r\nContent-Type: application/pdf; name=\"domanda.pdf\"\r\nContent-Transfer-Encoding: base64\r\n"
        + "Content-Disposition: attachment; filename=\"domanda.pdf\"\r\n\r\n" + String(repeating: line, count: 13_000)
        + "\r\n--------------c3d4--\r\n").utf8)
  }()
}
