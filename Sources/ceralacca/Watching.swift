import ArgumentParser
import Operations

struct Status: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Says how the running gateway is doing.",
    discussion: """
      Exit code 0 when all is well, 1 with warnings, 2 with alarms that must not wait, 69 when no gateway answers. Supervisors ask with
      --health whether a restart is wanted, and with --ready whether mail is taken: 0 or 2. They give --data, because a configuration
      that somebody spoils meanwhile is no fault of the gateway that runs.

      EXAMPLES
        ceralacca status --config /etc/ceralacca/ceralacca.yaml
        ceralacca status --health --data /var/lib/ceralacca
      """)
  @Option(name: [.long, .short], help: "The configuration file (YAML).") var config: String?
  @Option(help: "The gateway's data directory, in place of a configuration.") var data: String?
  @Flag(help: "Answer with one JSON object.") var json = false
  @Flag(help: "Only whether the gateway works; code 2 when nothing but a restart helps.") var health = false
  @Flag(help: "Only whether mail is taken; code 2 when it is not.") var ready = false

  func validate() throws {
    guard [json, health, ready].count(where: { $0 }) <= 1 else { throw ValidationError("give one of --json, --health and --ready") }
    guard (config == nil) != (data == nil) else { throw ValidationError("give one of --config and --data") }
  }

  func run() throws {
    let question: StatusCommand.Question = health ? .health : ready ? .readiness : .everything
    let place = data.map { StatusCommand.Place.dataDirectory($0) } ?? .configuration(file: config ?? "")
    try Outcome.of { try StatusCommand.run(question, of: place, json: json, say: Outcome.say) }
  }
}

struct Top: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Shows the running gateway live: rates, queues, lanes, signer, scanner, disk, deadlines.",
    discussion: """
      Ends with Ctrl-C. Where standard output is no terminal it shows one frame and ends.

      EXAMPLE
        ceralacca top --config /etc/ceralacca/ceralacca.yaml
      """)
  @OptionGroup var file: ConfigOption
  @Flag(help: "Shows one frame, of one interval, and ends.") var once = false
  @Option(help: "Seconds between two frames.") var interval = 1

  func validate() throws {
    guard (1...3600).contains(interval) else { throw ValidationError("--interval must be between 1 and 3600 seconds") }
  }

  func run() throws {
    try Outcome.of {
      try TopCommand.run(configurationFile: file.config, once: once, intervalSeconds: interval, say: Outcome.say, show: Outcome.show)
    }
  }
}
