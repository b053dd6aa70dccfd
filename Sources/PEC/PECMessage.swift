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

  /// Something that contradicts the certification data, in both tongues.
  public struct Contradiction: Sendable, Equatable {
    public var english: String
    public var italian: String
  }

  public let nature: Nature
  /// True when X-VerificaSicurezza says `errore`: a notice about a virus.
  public let isSecurityNotice: Bool
  /// Outer Message-ID, without brackets; nil when there is none, or several.
  public let messageID: String?
  /// The one address in the one outer From; nil when there are several, a group, or something that does not parse.
  public let from: Mailbox?
  /// The signed octets of the message, RFC 1847 §2.1: the first part from its header to before the line end of the next boundary line.
  /// Nil when the message is not a multipart/signed of two parts.
  public let signedRange: Range<Int>?
  /// The CMS signature's part.
  public let signature: MIMEPart?
  /// The certification data's part (`daticert.xml`), directly in the signed multipart/mixed: one inside of an attached message belongs
  /// to that message. Nil when there are two, at whatever depth of this message.
  public let certificationPart: MIMEPart?
  /// The original's part (`postacert.eml`), likewise.
  public let originalPart: MIMEPart?
  /// The original's header. Nil when there is no such part, and when it is encoded or was not taken apart.
  public let originalHeaderRange: Range<Int>?

  /// Reads the walker's facts of the message.
  public init(_ facts: MessageFacts) {
    let header = facts.header
    nature = PECMessage.nature(of: header)
    isSecurityNotice = PECMessage.values("X-VerificaSicurezza", header) == ["errore"]
    messageID = PECMessage.messageID(in: header)
    from = PECMessage.author(in: header)
    let outer = PECMessage.children(of: 0, in: facts.parts)
    guard facts.parts.first?.type == "multipart/signed", outer.count == 2 else {
      signedRange = nil
      signature = nil
      certificationPart = nil
      originalPart = nil
      originalHeaderRange = nil
      return
    }
    let signed = facts.parts[outer[0]]
    let second = facts.parts[outer[1]]
    let isSignature = second.type == "application/pkcs7-signature" || second.type == "application/x-pkcs7-signature"
    signedRange = signed.headerRange.lowerBound..<max(signed.headerRange.lowerBound, signed.bodyRange.upperBound)
    signature = isSignature ? second : nil
    guard signed.type == "multipart/mixed" else {
      certificationPart = nil
      originalPart = nil
      originalHeaderRange = nil
      return
    }
    certificationPart = PECMessage.only(in: facts.parts, below: outer[0], named: "daticert.xml") {
      $0 == "application/xml" || $0 == "text/xml"
    }
    let original = PECMessage.only(in: facts.parts, below: outer[0], named: "postacert.eml") { $0 == "message/rfc822" }
    originalPart = original
    originalHeaderRange = original.flatMap { part in
      facts.parts.first { $0.isMessageRoot && $0.parent.map { facts.parts[$0] } == part }?.headerRange
    }
  }

  /// The Message-ID of a header without its brackets; nil when there is none, or several.
  public static func messageID(in header: HeaderFacts) -> String? {
    let fields = header.fields(named: "Message-ID")
    guard fields.count == 1 else { return nil }
    var id = header.value(of: fields[0])[...]
    if id.first == UInt8(ascii: "<"), id.last == UInt8(ascii: ">"), id.count > 1 { id = id.dropFirst().dropLast() }
    return String(decoding: id, as: UTF8.self)
  }

  /// What about the data contradicts the header; empty when they agree (pec-rules 6.2, C4). English, for people.
  public func contradictions(with data: CertificationData) -> [String] { disagreements(with: data).map(\.english) }

  /// What about the data contradicts the header; empty when they agree (pec-rules 6.2, C4).
  public func disagreements(with data: CertificationData) -> [Contradiction] {
    var found: [Contradiction] = []
    func note(_ english: String, _ italian: String) { found.append(Contradiction(english: english, italian: italian)) }
    let said = data.type.rawValue
    switch nature {
    case .envelope:
      if data.type != .envelope {
        note("X-Trasporto says an envelope, the certification data say \(said)", "X-Trasporto non corrisponde al tipo \(said)")
      }
      if messageID != data.pecID {
        note("the envelope's Message-ID is not the identificativo", "il Message-ID della busta non corrisponde all'identificativo")
      }
      if originalPart == nil { note("the envelope has no postacert.eml, or two", "postacert.eml assente o ripetuto") }
    case .notification(let type):
      if data.type != type {
        note(
          "X-Ricevuta says \(type.rawValue), the certification data say \(said)",
          "X-Ricevuta \(type.rawValue) non corrisponde al tipo \(said)")
      }
    case .anomalyEnvelope: note("an anomaly envelope carries no certification data", "busta di anomalia con dati di certificazione")
    case .ordinary:
      note(
        "certification data in a message without X-Ricevuta and X-Trasporto", "dati di certificazione senza X-Ricevuta né X-Trasporto")
    case .malformed(let reason): note(reason, "X-Ricevuta o X-Trasporto non ammessi")
    }
    switch data.type {
    case .delivery, .deliveryError, .timeout:
      if data.delivery == nil { note("consegna is missing", "elemento consegna assente") }
    case .virusDetection:
      if data.delivery == nil && data.receptions.isEmpty { note("consegna is missing", "elemento consegna assente") }
    case .takeCharge:
      if data.receptions.isEmpty { note("ricezione is missing", "elemento ricezione assente") }
    case .acceptance, .nonAcceptance, .envelope: break
    }
    // A success that is an error is neither.
    switch data.type {
    case .acceptance, .takeCharge, .delivery, .envelope:
      if data.error != .none {
        note("errore is \(data.error.rawValue) where nothing failed", "errore \(data.error.rawValue) non ammesso per il tipo \(said)")
      }
    case .nonAcceptance, .deliveryError, .timeout, .virusDetection: break
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
        return .malformed("X-Ricevuta has the unknown value \"\(excerpt(receipts[0]))\"")
      }
      return .notification(type)
    case (0, 1):
      switch transports[0] {
      case "posta-certificata": return .envelope
      case "errore": return .anomalyEnvelope
      default: return .malformed("X-Trasporto has the unknown value \"\(excerpt(transports[0]))\"")
      }
    default: return .malformed("X-Ricevuta and X-Trasporto together, or one of them twice")
    }
  }

  private static func excerpt(_ value: String) -> String { ASCII.escaped(String(value.unicodeScalars.prefix(64).map(Character.init))) }

  /// RFC 5322 §3.6.2 with one author, who must not be open to two readings: a client that shows another address than the one that was
  /// compared is all a forger needs.
  private static func author(in header: HeaderFacts) -> Mailbox? {
    let fields = header.fields(named: "From")
    guard fields.count == 1 else { return nil }
    let list = AddressList.parse(header.value(of: fields[0]), limit: 2)
    return list.mailboxes.count == 1 && list.fault == nil && !list.hasGroups ? list.mailboxes[0] : nil
  }

  /// Values of the fields of that name, in lower case.
  private static func values(_ name: String, _ header: HeaderFacts) -> [String] {
    header.fields(named: name).map { ASCII.lowercased(String(decoding: header.value(of: $0), as: UTF8.self)) }
  }

  private static func children(of parent: Int, in parts: [MIMEPart]) -> [Int] {
    parts.indices.filter { parts[$0].parent == parent }
  }

  /// The part of that file name, or the only one of the type when none bears the name (pec-rules 16, quirk 12). Two that could be
  /// meant are none, and one that stands deeper in the same message is a second.
  private static func only(in parts: [MIMEPart], below holder: Int, named name: String, type: (String) -> Bool) -> MIMEPart? {
    let own = parts.filter { $0.messageLevel == 0 }
    let named = own.filter { ASCII.equal($0.filename ?? "", name) || ASCII.equal($0.name ?? "", name) }
    if named.count > 1 { return nil }
    if let one = named.first { return one.parent == holder && type(one.type) ? one : nil }
    let typed = own.filter { type($0.type) }
    return typed.count == 1 && typed[0].parent == holder ? typed[0] : nil
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
