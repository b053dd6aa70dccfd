import Limits
import MIMEStream
import Octets

/// A breach of the formal rules for a submitted message (eccezione formale, RFC 6109 §3.1.1).
public struct FormalFault: Sendable, Equatable {
  /// The checks, as pec-rules 3.2 numbers them.
  public enum Code: String, Sendable, CaseIterable {
    /// The header conforms to RFC 5322.
    case f1 = "F1"
    /// From is present and holds a valid address.
    case f2 = "F2"
    /// To is present and holds one or more valid addresses.
    case f3 = "F3"
    /// The reverse path is the address in From.
    case f4 = "F4"
    /// Each forward path is in To or Cc.
    case f5 = "F5"
    /// Bcc is empty.
    case f6 = "F6"
    /// Size × recipients within the limit.
    case f7 = "F7"
    /// Size within the provider's limit.
    case f8 = "F8"
  }

  public var code: Code
  /// For the notice's readable part and `errore-esteso`; no full stop at its end.
  public var italian: String
  /// For log lines.
  public var english: String

  /// A fault in both languages.
  public init(code: Code, italian: String, english: String) {
    self.code = code
    self.italian = italian
    self.english = english
  }
}

/// The formal checks of the access point (RFC 6109 §3.1.1).
public enum FormalCheck {
  /// Every fault there is, in the order of the checks; empty when the message may enter.
  public static func faults(of submission: Submission, limits: MessageLimits) -> [FormalFault] {
    let header = submission.facts.header
    let from = AddressFields.gather("From", of: header, limit: limits.addresses)
    let to = AddressFields.gather("To", of: header, limit: limits.addresses)
    let cc = AddressFields.gather("Cc", of: header, limit: max(0, limits.addresses - to.mailboxes.count))
    var faults = syntax(submission.facts, limits)
    if let fault = cc.fault {
      faults.append(.init(.f1, "il campo Cc non è conforme a RFC 5322", "Cc does not parse: \(fault)"))
    }
    replyTo(header, limits, &faults)
    author(from, &faults)
    addressees(to, &faults)
    reversePath(submission.reversePath, from, &faults)
    forwardPaths(submission.forwardPaths, to.mailboxes + cc.mailboxes, &faults)
    blindCopies(header, &faults)
    size(submission.facts.totalBytes, recipients: submission.forwardPaths.count, limits, &faults)
    return faults
  }

  /// F1: what the walker saw, sentence by sentence.
  private static func syntax(_ facts: MessageFacts, _ limits: MessageLimits) -> [FormalFault] {
    guard !facts.flags.isDisjoint(with: refusedFlags) else { return [] }
    var faults: [FormalFault] = []
    func add(_ flag: MessageFlags, _ italian: @autoclosure () -> String, _ english: @autoclosure () -> String) {
      if facts.flags.contains(flag) { faults.append(.init(.f1, italian(), english())) }
    }
    add(.noHeader, "il messaggio non ha intestazione", "the message has no header")
    add(
      .malformedHeaderLine, "l'intestazione contiene una riga non conforme a RFC 5322", "a header line does not conform to RFC 5322")
    if facts.flags.contains(.doubledStructuralHeader) { faults.append(doubled(facts.header)) }
    add(
      .headerTooLarge, "l'intestazione supera \(limits.headerBytes / 1024) kB", "the header is above \(limits.headerBytes) octets")
    add(.tooManyFields, "l'intestazione ha più di \(limits.headerFields) campi", "more than \(limits.headerFields) header fields")
    add(.lineTooLong, "una riga supera i \(limits.lineBytes) caratteri", "a line is above \(limits.lineBytes) octets")
    add(
      .bareCarriageReturn, "il messaggio contiene un ritorno a capo (CR) non seguito da LF", "a CR that no LF follows")
    add(.bareLineFeed, "il messaggio contiene un avanzamento di riga (LF) non preceduto da CR", "an LF that no CR precedes")
    add(.nulOctet, "il messaggio contiene il carattere NUL", "a NUL octet in the message")
    add(
      .eightBitHeader, "l'intestazione contiene caratteri a 8 bit non codificati", "octets above 127 in the header")
    add(
      .eightBitBody, "il corpo del messaggio contiene caratteri a 8 bit non codificati", "octets above 127 in the body")
    return faults
  }

  /// The flags that make a message malformed. MIME oddities are not among them: no rule refuses a message for its parts.
  private static let refusedFlags: MessageFlags = [
    .noHeader, .malformedHeaderLine, .doubledStructuralHeader, .headerTooLarge, .tooManyFields, .lineTooLong, .bareCarriageReturn,
    .bareLineFeed, .nulOctet, .eightBitHeader, .eightBitBody,
  ]

  /// Fields that RFC 5322 §3.6 allows once.
  private static let singleFields = [
    "Date", "From", "Sender", "Reply-To", "To", "Cc", "Bcc", "Message-ID", "In-Reply-To", "References", "Subject",
  ]

  private static func doubled(_ header: HeaderFacts) -> FormalFault {
    let names = singleFields.filter { header.fields(named: $0).count > 1 }
    if names.isEmpty {
      return .init(.f1, "un campo dell'intestazione è ripetuto", "a header field stands more than once")
    }
    let list = names.joined(separator: ", ")
    return names.count == 1
      ? .init(.f1, "il campo \(list) è ripetuto", "header field \(list) stands more than once")
      : .init(.f1, "i campi \(list) sono ripetuti", "header fields \(list) stand more than once")
  }

  /// F1 for Reply-To, because the envelope copies it. An empty one counts as absent.
  private static func replyTo(_ header: HeaderFacts, _ limits: MessageLimits, _ faults: inout [FormalFault]) {
    guard header.first(named: "Reply-To") != nil else { return }
    if let fault = AddressFields.gather("Reply-To", of: header, limit: limits.addresses).fault {
      faults.append(.init(.f1, "il campo Reply-To non è conforme a RFC 5322", "Reply-To does not parse: \(fault)"))
    }
  }

  /// F2. A From of several mailboxes cannot equal the one reverse path (pec-rules 3.2).
  private static func author(_ from: AddressFields.Gathered, _ faults: inout [FormalFault]) {
    if from.count == 0 {
      faults.append(.init(.f2, "manca il campo From", "there is no From"))
    } else if from.mailboxes.isEmpty || from.fault != nil || from.hasGroups {
      faults.append(
        .init(.f2, "il campo From non contiene un indirizzo email valido", "From holds no valid address: \(from.fault ?? "none named")"))
    } else if from.mailboxes.count > 1, from.count == 1 {
      faults.append(.init(.f2, "il campo From contiene più di un indirizzo email", "From holds more than one address"))
    }
  }

  /// F3. Members of groups count; an empty group names nobody.
  private static func addressees(_ to: AddressFields.Gathered, _ faults: inout [FormalFault]) {
    if to.count == 0 {
      faults.append(.init(.f3, "manca il campo To", "there is no To"))
    } else if let fault = to.fault {
      faults.append(.init(.f3, "il campo To contiene un indirizzo email non valido", "To does not parse: \(fault)"))
    } else if to.mailboxes.isEmpty {
      faults.append(.init(.f3, "il campo To non contiene alcun indirizzo email valido", "To holds no address"))
    }
  }

  /// F4, where From says one address: an absent or plural From is F2's. A null path equals nothing.
  private static func reversePath(_ path: String, _ from: AddressFields.Gathered, _ faults: inout [FormalFault]) {
    guard !path.isEmpty else {
      faults.append(.init(.f4, "il mittente della trasmissione (MAIL FROM) è vuoto", "the reverse path is empty"))
      return
    }
    guard from.mailboxes.count == 1, let author = from.mailboxes.first else { return }
    if let sender = Mailbox.parsePath(path), sender.matches(author) { return }
    faults.append(
      .init(
        .f4, "l'indirizzo email nel campo From (\(oneLine(author.address))) è diverso dal mittente della trasmissione (\(path))",
        "From (\(oneLine(author.address))) differs from the reverse path (\(path))"))
  }

  /// F5: RCPT ⊆ To ∪ Cc. The other direction is free: a client may send to the header's addresses in several transactions.
  private static func forwardPaths(_ paths: [String], _ named: [Mailbox], _ faults: inout [FormalFault]) {
    func missing(_ path: String) -> FormalFault {
      .init(.f5, "l'indirizzo email \(path) non appare nei campi To o Cc", "recipient \(path) is in neither To nor Cc")
    }
    if paths.count <= 4 {
      for path in paths {
        if let recipient = Mailbox.parsePath(path), named.contains(where: { $0.matches(recipient) }) { continue }
        faults.append(missing(path))
      }
      return
    }
    func key(_ mailbox: Mailbox) -> String { ASCII.lowercased(mailbox.localPart + "@" + mailbox.domain) }
    let known = Set(named.map(key))
    for path in paths {
      if let recipient = Mailbox.parsePath(path), known.contains(key(recipient)) { continue }
      faults.append(missing(path))
    }
  }

  /// F6: a Bcc (Ccn) with any value.
  private static func blindCopies(_ header: HeaderFacts, _ faults: inout [FormalFault]) {
    guard header.fields(named: "Bcc").contains(where: { !header.value(of: $0).isEmpty }) else { return }
    faults.append(.init(.f6, "il campo Bcc (Ccn) contiene destinatari, che non sono ammessi", "Bcc has a value"))
  }

  /// F7 and F8. Octets of DATA as received count.
  private static func size(_ bytes: Int, recipients: Int, _ limits: MessageLimits, _ faults: inout [FormalFault]) {
    if let most = limits.maximumBytesTimesRecipients {
      let (product, overflow) = bytes.multipliedReportingOverflow(by: recipients)
      if overflow || product > most {
        faults.append(
          .init(
            .f7,
            "la dimensione del messaggio (\(bytes) byte) moltiplicata per il numero dei destinatari (\(recipients)) supera il limite di \(most) byte",
            "size \(bytes) × \(recipients) recipients is above \(most) octets"))
      }
    }
    if bytes > limits.formalBytes {
      faults.append(
        .init(
          .f8, "la dimensione del messaggio (\(bytes) byte) supera il limite di \(limits.formalBytes) byte",
          "size \(bytes) is above \(limits.formalBytes) octets"))
    }
  }
}

extension FormalFault {
  fileprivate init(_ code: Code, _ italian: String, _ english: String) {
    self.init(code: code, italian: italian, english: english)
  }
}
