import MIMEStream
import Octets

/// A message that claims to be of the certified channel, as its outer header and its parts show it. Nothing here proves the claim:
/// that is the signature's part.
public struct PECMessage: Sendable {
  /// What the outer header says the message is (pec-rules 2.0 item 13): by X-Ricevuta or X-Trasporto, never by the subject.
  public enum Nature: Sendable, Equatable {
    /// Transport envelope (busta di trasporto).
    case envelope
    /// Anomaly envelope (busta di anomalia).
    case anomalyEnvelope
    /// Receipt or notice; its type is never `.envelope`.
    case notification(CertificationType)
    /// Neither header is there.
    case ordinary
    /// The headers contradict themselves, or have a value that does not exist.
    case malformed(String)
  }

  public let nature: Nature
  /// True when X-VerificaSicurezza says `errore`: a notice about a virus.
  public let isSecurityNotice: Bool
  /// Outer Message-ID, without brackets.
  public let messageID: String?
  /// The one address in the outer From.
  public let from: Mailbox?
  /// The signed octets of the message, RFC 1847 §2.1: the first part from its header to before the line end of the next boundary line.
  /// Nil when the message is not a multipart/signed of two parts.
  public let signedRange: Range<Int>?
  /// The CMS signature's part.
  public let signature: MIMEPart?
  /// The certification data's part (`daticert.xml`), directly in the signed multipart and nowhere deeper: one inside of an attached
  /// message belongs to that message.
  public let certificationPart: MIMEPart?
  /// The original's part (`postacert.eml`), likewise.
  public let originalPart: MIMEPart?

  /// Reads the walker's facts of the message.
  public init(_ facts: MessageFacts) {
    let header = facts.header
    nature = PECMessage.nature(of: header)
    isSecurityNotice = PECMessage.values("X-VerificaSicurezza", header) == ["errore"]
    messageID = header.first(named: "Message-ID").map { field in
      var id = header.value(of: field)[...]
      if id.first == UInt8(ascii: "<"), id.last == UInt8(ascii: ">") { id = id.dropFirst().dropLast() }
      return String(decoding: id, as: UTF8.self)
    }
    let authors = header.first(named: "From").map { AddressList.parse(header.value(of: $0), limit: 10).mailboxes } ?? []
    from = authors.count == 1 ? authors[0] : nil
    let outer = PECMessage.children(of: 0, in: facts.parts)
    guard facts.parts.first?.type == "multipart/signed", outer.count == 2 else {
      signedRange = nil
      signature = nil
      certificationPart = nil
      originalPart = nil
      return
    }
    let signed = facts.parts[outer[0]]
    let second = facts.parts[outer[1]]
    let isSignature = second.type == "application/pkcs7-signature" || second.type == "application/x-pkcs7-signature"
    signedRange = signed.headerRange.lowerBound..<max(signed.headerRange.lowerBound, signed.bodyRange.upperBound)
    signature = isSignature ? second : nil
    let inner = PECMessage.children(of: outer[0], in: facts.parts).map { facts.parts[$0] }
    certificationPart = PECMessage.only(inner, named: "daticert.xml") { $0 == "application/xml" || $0 == "text/xml" }
    originalPart = PECMessage.only(inner, named: "postacert.eml") { $0 == "message/rfc822" }
  }

  /// What about the data contradicts the header; empty when they agree (pec-rules 6.2, C4). English, for people.
  public func contradictions(with data: CertificationData) -> [String] {
    var found: [String] = []
    switch nature {
    case .envelope:
      if data.type != .envelope { found.append("X-Trasporto says an envelope, the certification data say \(data.type.rawValue)") }
      if let messageID, messageID != data.pecID { found.append("the envelope's Message-ID is not the identificativo") }
      if originalPart == nil { found.append("the envelope has no postacert.eml") }
    case .notification(let type):
      if data.type != type { found.append("X-Ricevuta says \(type.rawValue), the certification data say \(data.type.rawValue)") }
    case .anomalyEnvelope: found.append("an anomaly envelope carries no certification data")
    case .ordinary: found.append("certification data in a message without X-Ricevuta and X-Trasporto")
    case .malformed(let reason): found.append(reason)
    }
    switch data.type {
    case .delivery, .deliveryError, .timeout:
      if data.delivery == nil { found.append("consegna is missing") }
    case .virusDetection:
      if data.delivery == nil && data.receptions.isEmpty { found.append("consegna is missing") }
    case .takeCharge:
      if data.receptions.isEmpty { found.append("ricezione is missing") }
    case .acceptance, .nonAcceptance, .envelope: break
    }
    return found
  }

  private static func nature(of header: HeaderFacts) -> Nature {
    let receipts = values("X-Ricevuta", header)
    let transports = values("X-Trasporto", header)
    switch (receipts.count, transports.count) {
    case (0, 0): return .ordinary
    case (1, 0):
      guard let type = CertificationType(rawValue: receipts[0]), type != .envelope else {
        return .malformed("X-Ricevuta has the unknown value \"\(ASCII.escaped(receipts[0]))\"")
      }
      return .notification(type)
    case (0, 1):
      switch transports[0] {
      case "posta-certificata": return .envelope
      case "errore": return .anomalyEnvelope
      default: return .malformed("X-Trasporto has the unknown value \"\(ASCII.escaped(transports[0]))\"")
      }
    default: return .malformed("X-Ricevuta and X-Trasporto together, or one of them twice")
    }
  }

  /// Values of the fields of that name, in lower case.
  private static func values(_ name: String, _ header: HeaderFacts) -> [String] {
    header.fields(named: name).map { ASCII.lowercased(String(decoding: header.value(of: $0), as: UTF8.self)) }
  }

  private static func children(of parent: Int, in parts: [MIMEPart]) -> [Int] {
    parts.indices.filter { parts[$0].parent == parent }
  }

  /// The part of that file name, or the only one of the type when none bears the name (pec-rules 16, quirk 12). Two that could be
  /// meant are none.
  private static func only(_ parts: [MIMEPart], named name: String, type: (String) -> Bool) -> MIMEPart? {
    let typed = parts.filter { type($0.type) }
    let named = typed.filter { ASCII.equal($0.filename ?? $0.name ?? "", name) }
    if named.count == 1 { return named[0] }
    return named.isEmpty && typed.count == 1 ? typed[0] : nil
  }
}

extension CertificationType {
  /// The kind's name in plain English, for people.
  public var englishName: String {
    switch self {
    case .acceptance: "acceptance receipt"
    case .nonAcceptance: "non-acceptance notice"
    case .takeCharge: "take-charge receipt"
    case .delivery: "delivery receipt"
    case .envelope: "transport envelope"
    case .deliveryError: "non-delivery notice"
    case .timeout: "timeout notice"
    case .virusDetection: "virus detection notice"
    }
  }
}
