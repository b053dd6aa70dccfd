import Configuration
import Foundation
import Gateway
import Journey
import Ledger
import Octets
import PEC
import Reception

/// `ceralacca mailbox`: what holders have chosen, and what holds for them. Choices are read from the ledger, and changed by the running
/// gateway.
public enum MailboxCommands {
  /// A setting that holds, for machines.
  private struct Setting: Encodable {
    var value: String
    /// `mailbox`, `domain`, `configuration` or `default`.
    var from: String
    /// The key of the configuration that decided.
    var key: String?
  }

  /// What holds for a mailbox or domain, for machines.
  private struct Row: Encodable {
    var holder: String
    var ordinary: Setting
    var notify: Setting
    var notifyAnomalies: Setting
    var receipt: Setting
  }

  /// What is chosen for a mailbox or domain, for machines. What is not there is not chosen.
  private struct Chosen: Encodable {
    var holder: String
    var ordinary: String?
    var notify: String?
    var notifyAnomalies: Bool?
    var receipt: String?
    var changedAt: String
  }

  /// Shows what holds for a mailbox or domain, and who decided it.
  public static func show(_ name: String, configurationFile: String, json: Bool, say: (String) -> Void) throws {
    let configuration = try Service.load(configurationFile)
    let points = Gateway.points(of: configuration)
    let holder: String
    do throws(ChoiceFault) { holder = try points.owned(name) } catch {
      throw CommandFailure(error.description, exitCode: CommandFailure.noInput)
    }
    let stored = try choices(configurationFile)
    let row = row(holder, HolderChoices(Dictionary(uniqueKeysWithValues: stored.map { ($0.holder, $0.choice) })), points, configuration)
    if json { return say(try Output.json(row)) }
    say(ASCII.escaped(holder))
    for (name, setting) in [
      ("ordinary mail", row.ordinary), ("notify", row.notify), ("of anomalies too", row.notifyAnomalies),
      ("delivery receipts", row.receipt),
    ] {
      let origin = setting.key.map { "\(setting.from), \($0)" } ?? setting.from
      say(ASCII.escaped("  \(name.left(19))\(setting.value.left(24)) (\(origin))"))
    }
  }

  /// Lists what is chosen.
  public static func list(configurationFile: String, json: Bool, say: (String) -> Void) throws {
    let stored = try choices(configurationFile)
    for one in stored {
      let choice = one.choice
      if json {
        say(
          try Output.json(
            Chosen(
              holder: one.holder, ordinary: choice.ordinary?.word, notify: choice.notice?.word, notifyAnomalies: choice.noticeOfAnomalies,
              receipt: choice.receipt?.word, changedAt: QueueCommands.time(one.changedAt))))
      } else {
        let settings = AcceptedChoice.settings(of: choice).filter { $0.value != "default" }.map { "\($0.name) \($0.value)" }
        say(ASCII.escaped("\(QueueCommands.time(one.changedAt))  \(one.holder)  \(settings.joined(separator: ", "))"))
      }
    }
    if stored.isEmpty, !json { say("Nothing is chosen for any mailbox or domain: the configuration decides.") }
  }

  /// Has the running gateway set what a holder wants.
  public static func set(_ change: ChoiceChange, configurationFile: String, json: Bool, say: (String) -> Void) throws {
    let request = ControlRequest(verb: "choose", choice: change)
    let directory = try Service.load(configurationFile).dataDirectory
    try ControlClient.tell(request, of: directory, json: json, withinSeconds: 30, refusal: CommandFailure.dataError, say)
  }

  private static func choices(_ configurationFile: String) throws -> [StoredChoice] {
    do { return try QueueCommands.ledger(configurationFile).choices() } catch let error as LedgerError {
      throw CommandFailure("what holders have chosen cannot be read: \(error)", exitCode: CommandFailure.inputOutput)
    }
  }

  private static func row(
    _ holder: String, _ choices: HolderChoices, _ points: ProviderPoints, _ configuration: GatewayConfiguration
  ) -> Row {
    let ordinary = points.ordinaryMail.decided(for: holder, choices: choices)
    let notice = choices.notice(for: holder)
    let ofAnomalies = choices.noticeOfAnomalies(for: holder)
    let receipt = choices.receipt(for: holder) ?? Decided(.complete, by: .standard)
    return Row(
      holder: holder,
      ordinary: Setting(
        value: ordinary.value.word, from: ordinary.origin.rawValue,
        key: ordinary.origin == .configuration ? key(holder, configuration.ordinaryMail) : nil),
      notify: Setting(value: notice.value.word, from: notice.origin.rawValue),
      notifyAnomalies: Setting(value: ofAnomalies.value ? "yes" : "no", from: ofAnomalies.origin.rawValue),
      receipt: Setting(value: receipt.value.word, from: receipt.origin.rawValue))
  }

  /// The key that decides where nothing is chosen.
  private static func key(_ holder: String, _ settings: OrdinaryMailSettings) -> String {
    if settings.mailboxes[holder] != nil { return "ordinaryMail.mailboxes" }
    let domain = holder.utf8.lastIndex(of: UInt8(ascii: "@")).map { String(holder[holder.utf8.index(after: $0)...]) } ?? holder
    return settings.domains[domain] == nil ? "ordinaryMail.policy" : "ordinaryMail.domains"
  }
}
