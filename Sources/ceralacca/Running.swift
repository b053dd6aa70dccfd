import ArgumentParser
import Laboratory
import Operations

struct ConfigOption: ParsableArguments {
  @Option(name: [.long, .short], help: "The configuration file (YAML).")
  var config: String
}

struct Serve: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Runs the gateway until SIGTERM or SIGINT; SIGHUP reads everything again, SIGUSR2 has a new process take over.",
    discussion: "EXAMPLE\n  ceralacca serve --config /etc/ceralacca/ceralacca.yaml")
  @OptionGroup var file: ConfigOption
  @Option(help: "The system's user to become when started as root, once the ports are open; otherwise the key `user` says.")
  var user: String?
  @Flag(help: ArgumentHelp("Follows the gateway that started this process.", visibility: .hidden)) var takesOver = false
  @Flag(help: ArgumentHelp("Does not write the certified log, to measure what it costs; on loopback only.", visibility: .hidden))
  var measuringWithoutLog = false

  func run() throws {
    try Outcome.of {
      try Service.run(
        configurationFile: file.config, user: user, takesOver: takesOver, writesLog: !measuringWithoutLog, say: Outcome.say)
    }
  }
}

struct Check: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Reads a configuration and all that it names, and says what is wrong, with line and column.",
    discussion: "EXAMPLE\n  ceralacca check --config /etc/ceralacca/ceralacca.yaml")
  @OptionGroup var file: ConfigOption
  @Flag(help: "Answer with one JSON object.") var json = false

  func run() throws { try Outcome.of { try CheckCommand.run(configurationFile: file.config, json: json, say: Outcome.say) } }
}

struct Lab: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Runs a laboratory: two providers, their users and the world, all on loopback.",
    discussion: "EXAMPLE\n  ceralacca lab --dir /tmp/lab --base-port 25000")
  @Option(help: "Folder of the laboratory; made when it is not there.") var dir: String
  @Option(help: "Ports are this and 1 to 4, 11 to 14, and 21.") var basePort = 25000

  func validate() throws {
    guard (1...65_000).contains(basePort) else { throw ValidationError("--base-port must be between 1 and 65000") }
  }

  func run() throws {
    try Outcome.of {
      try Laboratory.run(directory: dir, basePort: basePort, logger: Service.logger(label: "lab"), say: Outcome.say)
    }
  }
}

struct Demo: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Starts a laboratory, sends three messages, shows and verifies what everybody received.",
    discussion: "EXAMPLE\n  ceralacca demo")
  @Option(help: "Folder of the laboratory; a new temporary one when it is not given.") var dir: String?

  func run() throws { try Outcome.of { try Demonstration.run(directory: dir, say: Outcome.say) } }
}
