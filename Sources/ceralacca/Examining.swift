import ArgumentParser
import Operations

struct Doctor: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Looks at everything that mail rests on, and says what is wrong and what to do.",
    discussion: """
      Files, keys, certificates, clock, disks, ledger, provider index, scanner, next hops and ports, whether the gateway runs or not. It
      changes nothing, sends no mail, and is through after 15 seconds at the most. Exit code 0 when nothing is wrong, 1 with warnings, 2
      when something is wrong.

      EXAMPLE
        ceralacca doctor --config /etc/ceralacca/ceralacca.yaml
      """)
  @OptionGroup var file: ConfigOption
  @Flag(help: "Answer with one JSON object.") var json = false

  func run() throws { try Outcome.of { try DoctorCommand.run(configurationFile: file.config, json: json, say: Outcome.say) } }
}
