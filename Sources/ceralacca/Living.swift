import ArgumentParser
import Operations

struct Reload: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Has a running gateway read configuration, certificates, index, users, authorities and the signer's key again.",
    discussion: "EXAMPLE\n  ceralacca reload --config /etc/ceralacca/ceralacca.yaml")
  @OptionGroup var file: ConfigOption

  func run() throws { try Outcome.of { try LifeCommands.reload(configurationFile: file.config, say: Outcome.say) } }
}

struct Restart: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Has a new process take over from a running gateway, with its listening sockets; nobody is refused meanwhile.",
    discussion: "EXAMPLE\n  ceralacca restart --config /etc/ceralacca/ceralacca.yaml")
  @OptionGroup var file: ConfigOption

  func run() throws { try Outcome.of { try LifeCommands.restart(configurationFile: file.config, say: Outcome.say) } }
}

struct Drain: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Has a running gateway take nothing new and finish what is here; it runs on, and delivers, until it is stopped.",
    discussion: "EXAMPLE\n  ceralacca drain --seconds 60 --config /etc/ceralacca/ceralacca.yaml")
  @Option(help: "Sessions may go on for so long before they are told 421.") var seconds = 30
  @OptionGroup var file: ConfigOption

  func validate() throws {
    guard (0...86_400).contains(seconds) else { throw ValidationError("--seconds must be between 0 and 86400") }
  }

  func run() throws { try Outcome.of { try LifeCommands.drain(seconds: seconds, configurationFile: file.config, say: Outcome.say) } }
}
