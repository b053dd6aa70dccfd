import Limits
import MIMEStream
import Octets
import PEC

/// Judges what arrives at the incoming point (RFC 6109 §2.2.2, `pec-rules` 6.2 and 6.3). Pure: the same message and the same index give
/// the same judgement.
///
/// Two questions decide, and the signature alone answers the first. Does the message come from a provider (C1–C3, C5)? When not, it is
/// ordinary mail, whatever its header says. Is it what the rules make a provider send (C4)? When not, it goes into an anomaly envelope.
/// The outer header is not under the signature, so it is believed only where the signed part says the same.
public struct IncomingCheck: Sendable {
  let directory: ProviderDirectory
  /// In lower case.
  let ownDomains: Set<String>
  /// The addresses that no user has, as keys.
  private let ownService: (mailbox: String, sender: String)
  let limits: MessageLimits

  /// - Parameters:
  ///   - directory: the provider index of the time of arrival.
  ///   - ownDomains: domains that this provider manages.
  ///   - serviceMailbox: `mailReceipt` of this provider.
  ///   - serviceAddress: From of what this provider makes.
  ///   - limits: those that the message was walked with.
  public init(
    directory: ProviderDirectory, ownDomains: [String], serviceMailbox: String, serviceAddress: String, limits: MessageLimits
  ) {
    self.directory = directory
    self.ownDomains = Set(ownDomains.map(ASCII.lowercased))
    ownService = (AddressKey.of(serviceMailbox), AddressKey.of(serviceAddress))
    self.limits = limits
  }

  /// Judges a message that arrived at `instant`.
  public func judge(_ message: ReceivedMessage, at instant: Instant) -> Judgement {
    let paths = IncomingCheck.unique(message.forwardPaths)
    let record: ProviderRecord
    var remarks: [String]
    switch signer(of: message, at: instant) {
    case .nobody(let reasons):
      return Judgement(treatment: .ordinary(isForged: isForged(message)), recipients: paths, reasons: reasons)
    case .provider(let owner, let notes): (record, remarks) = (owner, notes)
    }
    if !message.isOverTLS { remarks.append("\(record.providerName) sent it without TLS") }
    let faults = formalFaults(of: message, by: record)
    guard faults.isEmpty, case .success(let data)? = message.certification else {
      let reasons =
        faults.isEmpty ? [Reason(english: "there are no certification data", italian: "dati di certificazione assenti")] : faults
      return Judgement(treatment: .anomaly(record), recipients: paths, reasons: reasons, remarks: remarks)
    }
    remarks += oddities(of: message, data, record, at: instant)
    let treatment: Judgement.Treatment
    switch data.type {
    case .envelope: treatment = .envelope(data, record)
    case .takeCharge, .virusDetection: treatment = .serviceNotice(data, record)
    case .acceptance, .nonAcceptance, .delivery, .deliveryError, .timeout: treatment = .notification(data, record)
    }
    return distribute(paths, treatment, data, record, message, remarks)
  }

  /// True when these certification data, signed by that provider, may move the state of a transaction of ours: the provider speaks of
  /// recipients of its own (`consegna`, each `ricezione`). Another's word is delivered and moves nothing. Acceptance, non-acceptance and
  /// timeouts move nothing either: the sender's own provider makes them.
  public static func mayDecide(_ data: CertificationData, _ record: ProviderRecord, directory: ProviderDirectory) -> Bool {
    let about: [String]
    switch data.type {
    case .takeCharge: about = data.receptions
    case .delivery, .deliveryError: about = data.delivery.map { [$0] } ?? []
    case .virusDetection: about = (data.delivery.map { [$0] } ?? []) + data.receptions
    case .acceptance, .nonAcceptance, .timeout, .envelope: return false
    }
    return !about.isEmpty
      && about.allSatisfy { address in
        guard let mailbox = Mailbox.parsePath(address) else { return false }
        return manages(mailbox.domain, record, directory)
      }
  }

  /// True when the domain is listed in the record, or in another record of the same provider: its secondary environments
  /// (RFC 6109 §4.5.7) and its main record share a name.
  static func manages(_ domain: String, _ record: ProviderRecord, _ directory: ProviderDirectory) -> Bool {
    guard let owner = directory.record(managing: domain) else { return false }
    return owner.dn == record.dn || ASCII.equal(owner.providerName, record.providerName)
  }

  /// Each forward path once, as it was first given.
  private static func unique(_ paths: [String]) -> [String] {
    var seen = Set<String>()
    return paths.filter { seen.insert(AddressKey.of($0)).inserted }
  }

  /// True when the earlier reception was of this very message.
  static func isSame(_ known: KnownReception, _ message: ReceivedMessage, _ record: ProviderRecord) -> Bool {
    if known.fingerprint.isEmpty {
      return known.isEnvelope && message.claim.nature == .envelope && ASCII.equal(known.provider, record.providerName)
    }
    return known.fingerprint == message.signature?.fingerprint
  }

  /// Says who of the forward paths a well-formed message is for.
  private func distribute(
    _ paths: [String], _ treatment: Judgement.Treatment, _ data: CertificationData, _ record: ProviderRecord, _ message: ReceivedMessage,
    _ remarks: [String]
  ) -> Judgement {
    let had = Set(message.known.filter { IncomingCheck.isSame($0, message, record) }.flatMap(\.recipients).map(AddressKey.of))
    let meant: Set<String>
    let stranger: Reason
    switch treatment {
    case .envelope:
      meant = Set(data.recipients.map { AddressKey.of($0.address) }).union([ownService.mailbox, ownService.sender])
      stranger = Reason(
        english: "the certification data do not name the recipient", italian: "destinatario non presente nei dati di certificazione")
    case .serviceNotice:
      meant = [ownService.mailbox]
      stranger = Reason(
        english: "it is for the service mailbox and was sent to somebody else",
        italian: "messaggio riservato alla casella di servizio del gestore")
    case .notification, .anomaly, .ordinary:
      meant = [AddressKey.of(data.sender), ownService.mailbox, ownService.sender]
      stranger = Reason(
        english: "it is for the sender of the original and was sent to somebody else",
        italian: "ricevuta non destinata al mittente del messaggio originale")
    }
    var judgement = Judgement(treatment: treatment, recipients: [], remarks: remarks)
    for path in paths {
      let key = AddressKey.of(path)
      if had.contains(key) {
        judgement.duplicates.append(path)
      } else if meant.contains(key) {
        judgement.recipients.append(path)
      } else {
        judgement.strangers.append(path)
      }
    }
    if !judgement.strangers.isEmpty { judgement.reasons.append(stranger) }
    if judgement.recipients.isEmpty && judgement.duplicates.isEmpty && !judgement.strangers.isEmpty {
      judgement.treatment = .anomaly(record)
      swap(&judgement.recipients, &judgement.strangers)
    }
    return judgement
  }
}

/// Addresses compared: ASCII case and needless quotes aside.
enum AddressKey {
  /// The same for two spellings of one mailbox. What is no address stands for itself.
  static func of(_ address: String) -> String {
    ASCII.lowercased(Mailbox.parsePath(address)?.address ?? address)
  }

  /// True when both name the same mailbox, octet for octet: no canonical equivalence of Unicode.
  static func equal(_ one: String, _ other: String) -> Bool { of(one).utf8.elementsEqual(of(other).utf8) }
}

/// Text of others in a line for people: control characters escaped, cut at 120 characters.
func excerpt(_ text: String) -> String {
  let scalars = text.unicodeScalars.prefix(121)
  let kept = ASCII.escaped(String(String.UnicodeScalarView(scalars.prefix(120))))
  return scalars.count > 120 ? kept + "…" : kept
}
