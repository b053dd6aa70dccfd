import MIMEStream
import Octets
import PEC

/// What was found about one archived message, for people and machines.
public struct MessageFinding: Sendable, Encodable {
  public var file: String
  /// True when signature, header, certification data and (where an index was given) provider all hold.
  public var holds: Bool
  /// Plain English: `transport envelope`.
  public var kind: String
  /// The kind's Italian name: `busta di trasporto`; nil of what is no PEC message.
  public var italianKind: String?
  /// Why, a sentence each.
  public var sentences: [String]
  /// Subject of the signer's certificate.
  public var signer: String?
  public var signerAddress: String?
  /// Name of the provider that the index gives the certificate to; nil where no index was asked or it knows none.
  public var provider: String?
  /// The time that everything was judged at, RFC 3339.
  public var judgedAt: String?
  /// Outer Message-ID, without brackets.
  public var messageID: String?
  /// Outer Subject, decoded.
  public var title: String?
  public var identifier: String?
  public var sender: String?
  public var recipients: [String] = []
  /// The recipient a receipt or notice is about.
  public var about: String?
  /// Subject of the original, from the certification data.
  public var subject: String?
  public var certifiedTime: String?
  /// Name of the provider that the certification data name as their own.
  public var certifiedBy: String?
  public var error: String?

  init(file: String, kind: String, sentences: [String] = []) {
    self.file = file
    self.kind = kind
    self.sentences = sentences
    holds = false
  }

  mutating func describe(_ data: CertificationData) {
    identifier = data.pecID
    sender = data.sender
    recipients = data.recipients.map { "\($0.address) (\($0.recipientClass == .certified ? "certified" : "ordinary"))" }
    subject = data.subject
    certifiedTime = data.instant.rfc3339
    certifiedBy = data.provider
    about = data.delivery
    if data.error != .none { error = [data.error.rawValue, data.extendedError].compactMap { $0 }.joined(separator: ": ") }
    if let delivery = data.delivery { sentences.append("It speaks of the recipient \(delivery).") }
    if !data.receptions.isEmpty { sentences.append("It takes charge for \(data.receptions.joined(separator: ", ")).") }
    sentences.append("It was issued by \(data.provider) at \(data.instant.day) \(data.instant.time) (\(data.instant.zone)).")
  }

  /// The finding for a terminal.
  var text: String {
    var lines = ["\(file): \(holds ? "HOLDS" : "DOES NOT HOLD") - \(kind)" + (italianKind.map { " (\($0))" } ?? "")]
    lines += sentences.map { "  \(ASCII.escaped($0))" }
    let facts: [(String, String?)] = [
      ("identifier", identifier), ("from", sender), ("to", recipients.isEmpty ? nil : recipients.joined(separator: ", ")),
      ("subject", subject), ("time", certifiedTime), ("error", error),
    ]
    for (name, value) in facts {
      if let value { lines.append("    \(name.padding(toLength: 11, withPad: " ", startingAt: 0))\(ASCII.escaped(value))") }
    }
    return lines.joined(separator: "\n")
  }
}

/// What a message calls itself, in both tongues.
struct KindName: Equatable {
  var english: String
  var italian: String?

  /// The name of what a message claims to be; `data` tell the receipts and notices of one type apart.
  init(_ claim: PECMessage, _ data: CertificationData?) {
    switch claim.nature {
    case .envelope: self.init("transport envelope", "busta di trasporto")
    case .anomalyEnvelope: self.init("anomaly envelope", "busta di anomalia")
    case .ordinary: self.init("not a PEC message", nil)
    case .malformed: self.init("malformed PEC message", nil)
    case .notification(let type):
      switch type {
      case .acceptance: self.init("acceptance receipt", "ricevuta di accettazione")
      case .nonAcceptance where claim.isSecurityNotice:
        self.init("non-acceptance notice for a virus", "avviso di non accettazione per virus informatico")
      case .nonAcceptance: self.init("non-acceptance notice", "avviso di non accettazione")
      case .takeCharge: self.init("take-charge receipt", "ricevuta di presa in carico")
      case .delivery: self = KindName.delivery(hasOriginal: claim.originalPart != nil, asked: data?.receiptType)
      case .deliveryError where claim.isSecurityNotice:
        self.init("virus non-delivery notice", "avviso di mancata consegna per virus informatico")
      case .deliveryError: self.init("non-delivery notice", "avviso di mancata consegna")
      case .timeout:
        self.init("timeout notice", "avviso di mancata consegna per superamento dei tempi massimi previsti")
      case .virusDetection: self.init("virus detection notice", "avviso di rilevazione virus informatico")
      case .envelope: self.init("transport envelope", "busta di trasporto")
      }
    }
  }

  private init(_ english: String, _ italian: String?) {
    self.english = english
    self.italian = italian
  }

  /// RFC 6109 §3.3.2: what was asked for stands in the certification data even of the concise receipt that a Cc recipient gives.
  private static func delivery(hasOriginal: Bool, asked: ReceiptType?) -> KindName {
    guard hasOriginal else { return KindName("concise delivery receipt", "ricevuta sintetica di avvenuta consegna") }
    return asked == .brief
      ? KindName("brief delivery receipt", "ricevuta di avvenuta consegna breve")
      : KindName("complete delivery receipt", "ricevuta completa di avvenuta consegna")
  }
}
