/// Why a message could not be delivered to a recipient, as a non-delivery notice says it (RFC 6109 §3.3.3).
public struct DeliveryFailure: Sendable, Equatable {
  /// `no-dest`, `no-dominio` or `altro`.
  public var error: CertificationError
  /// Enhanced status code (RFC 3463).
  public var status: String
  /// Short description, Italian, without a full stop.
  public var italian: String

  /// A failure in these words.
  public init(error: CertificationError, status: String, italian: String) {
    self.error = error
    self.status = status
    self.italian = italian
  }

  /// The next hop refused the recipient, or the message for it, for good.
  /// - Parameters:
  ///   - code: SMTP reply code.
  ///   - enhanced: its enhanced status code, if it had one.
  ///   - text: its text; quoted in the description, cut at 200 characters.
  public static func refused(code: Int, enhanced: String?, text: String) -> DeliveryFailure {
    let status = permanent(enhanced) ?? basicStatus(code)
    let (error, sentence) = meaning(of: status)
    let reply = oneLine(["\(code)", enhanced ?? "", text].filter { !$0.isEmpty }.joined(separator: " "))
    return DeliveryFailure(error: error, status: status, italian: "\(sentence) (risposta del server: \(reply.prefix(200)))")
  }

  /// Nobody took the message within the time for it (RFC 6109 §2.2.2).
  public static func expired(hours: Int) -> DeliveryFailure {
    DeliveryFailure(error: .other, status: "5.4.7", italian: "il messaggio non è stato recapitato entro \(hours) ore")
  }

  /// The mailboxes' server took the message, and never said that it is in the mailbox.
  public static func unproven(hours: Int) -> DeliveryFailure {
    DeliveryFailure(
      error: .other, status: "5.4.7", italian: "la consegna non è stata confermata dal server di posta entro \(hours) ore")
  }

  /// The domain says that it takes no mail (null MX, RFC 7505 §4.2).
  public static let takesNoMail = DeliveryFailure(
    error: .noDomain, status: "5.1.10", italian: "il dominio di destinazione non riceve posta")

  /// The domain has nowhere to deliver to.
  public static let noDomain = DeliveryFailure(error: .noDomain, status: "5.1.2", italian: "dominio di destinazione inesistente")

  /// The mailbox does not exist here.
  public static let noMailbox = DeliveryFailure(error: .noRecipient, status: "5.1.1", italian: "casella inesistente")

  /// The operator took the message out of the queue.
  public static let removed = DeliveryFailure(error: .other, status: "5.0.0", italian: "il messaggio è stato rimosso dal gestore")

  /// An enhanced status of the permanent class in its form (RFC 3463 §2), or nil.
  private static func permanent(_ status: String?) -> String? {
    guard let status else { return nil }
    let parts = status.utf8.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
    guard parts.count == 3, parts.allSatisfy({ (1...3).contains($0.count) && $0.allSatisfy { $0 &- 48 < 10 } }) else { return nil }
    return parts[0].elementsEqual("5".utf8) ? status : nil
  }

  /// A status for a reply that has none (RFC 5248 §2.4 lists what goes with which code).
  private static func basicStatus(_ code: Int) -> String {
    switch code {
    case 550, 551: "5.1.1"
    case 552: "5.2.2"
    case 553: "5.1.3"
    default: "5.0.0"
    }
  }

  private static func meaning(of status: String) -> (CertificationError, String) {
    switch status {
    case "5.1.1", "5.1.6": (.noRecipient, "casella inesistente")
    case "5.1.3": (.noRecipient, "indirizzo non valido")
    case "5.1.2", "5.1.10", "5.4.4": (.noDomain, "dominio di destinazione inesistente")
    case "5.2.1": (.other, "casella disabilitata")
    case "5.2.2": (.other, "ecceduta la quota della casella")
    case "5.2.3", "5.3.4": (.other, "messaggio troppo grande per la destinazione")
    default: (.other, "il server di destinazione ha rifiutato il messaggio")
    }
  }
}
