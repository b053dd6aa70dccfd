import Limits
import MIMEStream
import Octets
import PEC
import Reception

/// What the operator asks to be set for a mailbox or domain, in his own words: nil leaves a setting as it is, `default` takes the choice
/// away.
public struct ChoiceChange: Sendable, Equatable, Codable {
  /// The mailbox's address, or the domain.
  public var holder: String
  /// `refuse`, `discard`, `anomaly`, `forward:ADDRESS` or `default`.
  public var ordinary: String?
  /// An ordinary address, `none` or `default`.
  public var notice: String?
  /// `yes`, `no` or `default`.
  public var noticeOfAnomalies: String?
  /// `complete`, `brief`, `concise` or `default`.
  public var receipt: String?

  /// A change of what is given.
  public init(
    holder: String, ordinary: String? = nil, notice: String? = nil, noticeOfAnomalies: String? = nil, receipt: String? = nil
  ) {
    self.holder = holder
    self.ordinary = ordinary
    self.notice = notice
    self.noticeOfAnomalies = noticeOfAnomalies
    self.receipt = receipt
  }

  /// True when nothing is to change.
  var saysNothing: Bool { ordinary == nil && notice == nil && noticeOfAnomalies == nil && receipt == nil }
}

/// Why a change is refused: what is wrong, and what to do.
public struct ChoiceFault: Error, Sendable, Equatable, CustomStringConvertible {
  public var description: String
  init(_ description: String) { self.description = ASCII.escaped(description) }
}

/// A change that holds to the rules.
public struct AcceptedChoice: Sendable, Equatable {
  /// Address or domain in lower case.
  public var holder: String
  public var before: HolderChoice
  public var after: HolderChoice

  /// `anna@pec.example.org: ordinary default -> refuse, receipt default -> brief`: what changes, for the log and for people; nil when
  /// nothing does.
  public var words: String? {
    let pairs = zip(AcceptedChoice.settings(of: before), AcceptedChoice.settings(of: after))
    let changed = pairs.filter { $0.value != $1.value }.map { "\($0.name) \($0.value) -> \($1.value)" }
    return changed.isEmpty ? nil : ASCII.escaped("\(holder): \(changed.joined(separator: ", "))")
  }

  /// The settings of a choice by the names that the command gives them.
  public static func settings(of choice: HolderChoice) -> [(name: String, value: String)] {
    [
      ("ordinary", choice.ordinary?.word ?? "default"), ("notify", choice.notice?.word ?? "default"),
      ("notify-anomalies", choice.noticeOfAnomalies.map { $0 ? "yes" : "no" } ?? "default"),
      ("receipt", choice.receipt?.word ?? "default"),
    ]
  }
}

extension ProviderPoints {
  /// Judges a change of holders' choices.
  ///
  /// - Parameters:
  ///   - choices: what is chosen so far.
  ///   - directory: the provider index: what it lists is no ordinary address.
  ///   - isUnknown: true for a mailbox that certainly does not exist here.
  public func judge(
    _ change: ChoiceChange, of choices: HolderChoices, directory: ProviderDirectory, isUnknown: (String) -> Bool
  ) throws(ChoiceFault) -> AcceptedChoice {
    let holder = try owned(change.holder)
    guard !change.saysNothing else { throw ChoiceFault("say what is to be set: --ordinary, --notify, --notify-anomalies or --receipt") }
    let before = choices[holder]
    var after = before
    if let word = change.ordinary { after.ordinary = try ordinary(word, directory) }
    if let word = change.notice { after.notice = try notice(word, directory) }
    switch change.noticeOfAnomalies {
    case nil: break
    case "yes": after.noticeOfAnomalies = true
    case "no": after.noticeOfAnomalies = false
    case "default": after.noticeOfAnomalies = nil
    case let word?: throw ChoiceFault("'\(word)' is not known for --notify-anomalies: write yes, no or default")
    }
    if let word = change.receipt {
      after.receipt = word == "default" ? nil : ReceiptType(word: word)
      guard after.receipt != nil || word == "default" else {
        throw ChoiceFault("'\(word)' is no kind of delivery receipt: write complete, brief, concise or default")
      }
    }
    // What was chosen for a mailbox that is gone since can still be taken away.
    if !after.isEmpty, holder.utf8.contains(UInt8(ascii: "@")), isUnknown(holder) {
      throw ChoiceFault("there is no mailbox \(holder) here: add its holder to the users first, or name another")
    }
    if before.isEmpty, !after.isEmpty, choices.count >= ChoiceLimits.holders {
      throw ChoiceFault("something is chosen for \(ChoiceLimits.holders) mailboxes and domains already: choose for domains instead")
    }
    return AcceptedChoice(holder: holder, before: before, after: after)
  }

  /// A mailbox or domain of ours, in lower case.
  public func owned(_ holder: String) throws(ChoiceFault) -> String {
    let name = ASCII.lowercased(holder)
    guard name.utf8.contains(UInt8(ascii: "@")) else {
      guard routing.ownDomains.contains(name) else {
        throw ChoiceFault("\(holder) is no domain of this provider: its domains are \(routing.ownDomains.joined(separator: ", "))")
      }
      return name
    }
    guard let mailbox = spelled(name) else { throw ChoiceFault("\(holder) is no mail address: write one like anna@\(someDomain)") }
    if ASCII.equal(name, serviceMailbox) || ASCII.equal(name, provider.serviceAddress) {
      throw ChoiceFault("\(holder) is the provider's own address for receipts of other providers: nothing is chosen for it")
    }
    guard routing.ownDomains.contains(mailbox.domain) else {
      throw ChoiceFault("\(holder) is in no domain of this provider: its domains are \(routing.ownDomains.joined(separator: ", "))")
    }
    return name
  }

  private var someDomain: String { routing.ownDomains.first ?? "pec.example.org" }

  private func ordinary(_ word: String, _ directory: ProviderDirectory) throws(ChoiceFault) -> OrdinaryAction? {
    if word == "default" { return nil }
    guard let action = OrdinaryAction(word: word) else {
      throw ChoiceFault("'\(word)' is not known for --ordinary: write refuse, discard, anomaly, forward:ADDRESS or default")
    }
    guard case .forward(let address) = action else { return action }
    return .forward(try outside(address, directory))
  }

  private func notice(_ word: String, _ directory: ProviderDirectory) throws(ChoiceFault) -> ArrivalNoticeChoice? {
    switch word {
    case "default": nil
    case "none": .nobody
    default: .to(try outside(word, directory))
    }
  }

  /// An ordinary address elsewhere. To a mailbox of ours the mail would come back, and a certified one elsewhere takes it as an anomaly
  /// at best.
  private func outside(_ address: String, _ directory: ProviderDirectory) throws(ChoiceFault) -> String {
    guard let mailbox = spelled(address), mailbox.domain.utf8.contains(UInt8(ascii: ".")) else {
      throw ChoiceFault("'\(address)' is no mail address: write one like anna@example.org")
    }
    let clean = "\(mailbox.localPart)@\(ASCII.lowercased(mailbox.domain))"
    if routing.route(for: clean) == .mailbox || ASCII.equal(clean, provider.serviceAddress) {
      throw ChoiceFault("\(address) is an address of this provider, and the mail would come back: name an ordinary address elsewhere")
    }
    if directory.recipientClass(of: clean) == .certified {
      throw ChoiceFault("\(address) is in a certified domain, which takes no ordinary mail as such: name an ordinary address")
    }
    return clean
  }

  /// An address of a dot-atom and a domain name (RFC 5321 §4.1.2), and nothing around it.
  private func spelled(_ address: String) -> Mailbox? {
    guard address.utf8.count <= ChoiceLimits.addressBytes, let mailbox = Mailbox.parsePath(address), mailbox.address == address,
      !address.utf8.contains(UInt8(ascii: "\"")), mailbox.domain.utf8.first != UInt8(ascii: "["), mailbox.localPart.utf8.count <= 64
    else { return nil }
    return mailbox
  }
}
