import MIMEStream
import Octets

/// What a word about an arrival tells: nothing of the message but who sent it, what it calls itself, and when it came.
public struct ArrivalFacts: Sendable, Equatable {
  /// The mailbox that has the message.
  public var mailbox: String
  /// Reverse path of the original.
  public var sender: String
  /// Decoded subject; nil when there is none.
  public var subject: String?
  /// When it was in the mailbox.
  public var instant: Instant
  /// True for a message in an anomaly envelope, which nobody certifies.
  public var isAnomaly: Bool
  /// True when the next message may come untold, because there were so many words.
  public var isLast: Bool

  /// Facts of an arrival.
  public init(mailbox: String, sender: String, subject: String?, instant: Instant, isAnomaly: Bool, isLast: Bool = false) {
    self.mailbox = mailbox
    self.sender = sender
    self.subject = subject
    self.instant = instant
    self.isAnomaly = isAnomaly
    self.isLast = isLast
  }
}

extension Composer {
  /// Characters of a subject, and of an address, that such a word repeats at the most.
  private static let subjectCharacters = 200
  private static let addressCharacters = 320

  /// Message-ID, without brackets, of the word about a message of this reception in this mailbox. Derived, so that a word that is made
  /// again after a crash is the same and not a second one.
  public func arrivalNoticeID(reception: String, mailbox: String) -> String {
    PECIdentifier.extended(reception, by: "avv", about: [mailbox])
  }

  /// A word by ordinary mail that a message has arrived (avviso di arrivo). No rule knows it: it is neither signed nor evidence, and
  /// bears no mark of the certified channel. It goes out with the null reverse path.
  ///
  /// - Parameters:
  ///   - arrival: what it tells. Senders' words are shown with their control characters escaped.
  ///   - address: the ordinary address that it goes to.
  ///   - reception: our identifier of the reception that brought the message.
  /// - Returns: the Message-ID without brackets, and the complete message.
  public func arrivalNotice(_ arrival: ArrivalFacts, to address: String, reception: String) -> (messageID: String, octets: [UInt8]) {
    let messageID = arrivalNoticeID(reception: reception, mailbox: arrival.mailbox)
    let subject = arrival.subject.map { ASCII.escaped(Composer.cut($0, at: Composer.subjectCharacters)) }
    var head: [UInt8] = []
    appendDate(arrival.instant, &head)
    var fields = HeaderWriter()
    fields.field("From", provider.serviceAddress)
    fields.field("To", "<\(address)>")
    let title = arrival.isAnomaly ? "Avviso di arrivo di una busta di anomalia" : "Avviso di arrivo di posta certificata"
    fields.unstructured("Subject", subject.map { "\(title): \($0)" } ?? title)
    fields.field("Message-ID", "<\(messageID)>")
    // RFC 3834 §5: nothing answers to this by itself.
    fields.field("Auto-Submitted", "auto-generated")
    head.append(contentsOf: fields.bytes)
    head.append("MIME-Version: 1.0\r\nContent-Type: text/plain; charset=\"utf-8\"\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n")
    return (messageID, head + QuotedPrintable.encode(Array(Composer.arrivalText(arrival, subject: subject).utf8)))
  }

  /// The readable part, Italian and then English.
  private static func arrivalText(_ arrival: ArrivalFacts, subject: String?) -> String {
    func shown(_ address: String) -> String { ASCII.escaped(cut(address, at: addressCharacters)) }
    let (mailbox, sender) = (shown(arrival.mailbox), arrival.sender.isEmpty ? nil : shown(arrival.sender))
    let when = (day: arrival.instant.day, time: arrival.instant.time, zone: arrival.instant.zone)
    let (what, whatInEnglish) =
      arrival.isAnomaly
      ? (
        "un messaggio che non è posta certificata valida\n(busta di anomalia): mittente e oggetto non sono verificati.",
        "A message that is not valid certified mail (anomaly envelope) was put into the\nmailbox"
      ) : ("un messaggio di posta elettronica certificata.", "A certified mail message was put into the mailbox")
    let more = "\nGli avvisi sono stati molti: i prossimi messaggi possono giungere senza avviso.\n"
    let moreInEnglish = "\nThere were many such words: the next messages may come without one.\n"
    return """
      Il giorno \(when.day) alle ore \(when.time) (\(when.zone)) nella casella
      \(mailbox)
      è giunto \(what)

      Mittente: \(sender ?? "nessuno")
      Oggetto: \(subject ?? "nessuno")

      Per leggerlo occorre accedere alla casella. Questo avviso è posta ordinaria, inviata
      automaticamente: non è firmato, non prova nulla, e le risposte non sono lette.
      \(arrival.isLast ? more : "")
      -- English --

      \(whatInEnglish)
      \(mailbox)
      on \(when.day) at \(when.time) (\(when.zone)).

      Sender: \(sender ?? "none")
      Subject: \(subject ?? "none")

      To read it, open the mailbox. This word is ordinary mail, sent automatically: it is
      not signed, proves nothing, and replies to it are not read.
      \(arrival.isLast ? moreInEnglish : "")
      """
  }
}
