import Limits
import MIMEStream
import Octets

/// What a user handed in at the access point: the SMTP envelope and the facts of the message.
public struct Submission: Sendable {
  /// MAIL FROM, without brackets.
  public var reversePath: String
  /// RCPT TO as given, without brackets; the same recipient twice stands once.
  public var forwardPaths: [String]
  /// What the walker found, watching for `Composer.boundaryPrefix`.
  public var facts: MessageFacts

  /// - Parameter forwardPaths: as they came; those that differ in ASCII case only are one recipient (pec-rules 3.2).
  public init(reversePath: String, forwardPaths: [String], facts: MessageFacts) {
    self.reversePath = reversePath
    self.facts = facts
    if forwardPaths.count < 2 {
      self.forwardPaths = forwardPaths
    } else {
      var seen: Set<String> = []
      self.forwardPaths = forwardPaths.filter { seen.insert(ASCII.lowercased($0)).inserted }
    }
  }

  /// True when the original says which kind of delivery receipt its sender wants, in whatever words (RFC 6109 §3.3.2).
  public var asksForReceiptType: Bool { facts.header.first(named: "X-TipoRicevuta") != nil }
}

/// The address fields of an original, read once.
struct AddressFields {
  /// Of one field name: all its fields together.
  struct Gathered {
    /// Fields of the name.
    var count = 0
    /// Fields of it whose value is not empty.
    var filled = 0
    var mailboxes: [Mailbox] = []
    var fault: String?
    var hasGroups = false
  }

  static func gather(_ name: String, of header: HeaderFacts, limit: Int) -> Gathered {
    var gathered = Gathered()
    for field in header.fields(named: name) {
      gathered.count += 1
      let value = header.value(of: field)
      guard !value.isEmpty else { continue }
      gathered.filled += 1
      let list = AddressList.parse(value, limit: limit)
      gathered.mailboxes.append(contentsOf: list.mailboxes)
      gathered.fault = gathered.fault ?? list.fault
      gathered.hasGroups = gathered.hasGroups || list.hasGroups
    }
    return gathered
  }
}

/// What every message about a submission is written from: the facts that outlive the original.
public struct TransactionFacts: Sendable, Equatable {
  /// PEC id, without angle brackets.
  public var pecID: String
  /// The transaction's one time value (RFC 6109 §4.1).
  public var instant: Instant
  /// Reverse path of the original.
  public var sender: String
  public var recipients: [Recipient]
  /// Bare address, or several with commas, of the original's Reply-To; the sender's where it has none.
  public var replyTo: String
  /// Decoded subject on one line; nil when the original has none, or an empty one.
  public var subject: String?
  /// The subject's value as received, unfolded.
  public var rawSubject: [UInt8]?
  /// The client's Message-ID as it stood, brackets included: one line of ASCII, short enough for a header line.
  public var clientMessageID: String?
  public var receiptType: ReceiptType
  /// Size of the original in octets.
  public var bytes: Int

  /// Facts as they are given.
  public init(
    pecID: String, instant: Instant, sender: String, recipients: [Recipient], replyTo: String, subject: String?, rawSubject: [UInt8]?,
    clientMessageID: String?, receiptType: ReceiptType, bytes: Int
  ) {
    self.pecID = pecID
    self.instant = instant
    self.sender = sender
    self.recipients = recipients
    self.replyTo = replyTo
    self.subject = subject
    self.rawSubject = rawSubject
    self.clientMessageID = clientMessageID
    self.receiptType = receiptType
    self.bytes = bytes
  }

  /// The facts of a submission, accepted or refused; its recipients are classified by the provider index (RFC 6109 §2.2.1).
  public init(_ submission: Submission, pecID: String, instant: Instant, directory: ProviderDirectory, limits: MessageLimits) {
    let header = submission.facts.header
    let rawSubject = header.first(named: "Subject").map { header.value(of: $0) }.flatMap { $0.isEmpty ? nil : $0 }
    let subject = rawSubject.map { oneLine(EncodedWord.decode($0)) }.flatMap { $0.isEmpty ? nil : $0 }
    self.init(
      pecID: pecID, instant: instant, sender: submission.reversePath,
      recipients: submission.forwardPaths.map { Recipient(address: $0, recipientClass: directory.recipientClass(of: $0)) },
      replyTo: TransactionFacts.replyTo(header, limit: limits.addresses) ?? TransactionFacts.author(header, limits)
        ?? submission.reversePath,
      subject: subject, rawSubject: rawSubject, clientMessageID: TransactionFacts.clientMessageID(header),
      receiptType: ReceiptType(
        headerValue: header.first(named: "X-TipoRicevuta").map { String(decoding: header.value(of: $0), as: UTF8.self) }),
      bytes: submission.facts.totalBytes)
  }

  /// Bare addresses of the Reply-To field; nil when there is none that names anybody.
  static func replyTo(_ header: HeaderFacts, limit: Int) -> String? {
    guard header.first(named: "Reply-To") != nil else { return nil }
    let mailboxes = AddressFields.gather("Reply-To", of: header, limit: limit).mailboxes
    return mailboxes.isEmpty ? nil : mailboxes.map(\.address).joined(separator: ", ")
  }

  /// The address in From, when there is exactly one.
  static func author(_ header: HeaderFacts, _ limits: MessageLimits) -> String? {
    let mailboxes = AddressFields.gather("From", of: header, limit: limits.addresses).mailboxes
    return mailboxes.count == 1 ? mailboxes.first?.address : nil
  }

  /// Octets of a client's Message-ID at the most, so that `X-Riferimento-Message-ID: ` and it make a line of 998 (RFC 5322 §2.1.1).
  static let clientMessageIDBytes = 998 - "X-Riferimento-Message-ID: ".utf8.count

  /// The value is the client's own and may be anything: it is put on one line of ASCII and cut at the length that a line may have.
  private static func clientMessageID(_ header: HeaderFacts) -> String? {
    header.first(named: "Message-ID").flatMap { identifierLine(header.value(of: $0)) }
  }
}
