import ArgumentParser
import Operations

struct Backup: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Makes a consistent copy of all that a gateway holds, while it runs or while it is stopped; and verifies one.",
    discussion: """
      EXAMPLES
        ceralacca backup --to /backup/2026-11-21 --config /etc/ceralacca/ceralacca.yaml
        ceralacca backup verify /backup/2026-11-21
      """,
    subcommands: [Make.self, Verify.self], defaultSubcommand: Make.self)

  struct Make: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Makes a backup in a new folder, for its owner alone.",
      discussion: """
        Ledger, the spool's segments that its queue names, seals, quarantine, index, the
        configuration and the files that it names. Mailboxes are others' to save. A running
        gateway goes on; what was answered 250 before the backup began is wholly in it.
        The folder has its name when all is in it, verified and synced.
        """)
    @Option(help: "The folder of the backup, which must not be there yet.") var to: String
    @Option(help: "An earlier backup on the same disk: sealed and quarantined files that have not changed are linked to it.") var since:
      String?
    @Flag(help: "Private keys and passwords too.") var withKeys = false
    @Flag(help: "One JSON object.") var json = false
    @OptionGroup var file: ConfigOption

    func run() throws {
      try Outcome.of {
        defer { Outcome.endProgress() }
        try BackupCommand.run(
          BackupCommand.Wanted(folder: to, since: since, withKeys: withKeys), configurationFile: file.config, json: json,
          say: Outcome.say, progress: Outcome.progress)
      }
    }
  }

  struct Verify: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Reads a backup whole: every file, the ledger, every queued message, the chain of the certified log.")
    @Argument(help: "The folder of the backup.") var folder: String
    @Flag(help: "One JSON object.") var json = false

    func run() throws {
      try Outcome.of {
        defer { Outcome.endProgress() }
        try BackupVerification.run(folder, json: json, say: Outcome.say, progress: Outcome.progress)
      }
    }
  }
}

struct Restore: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Makes a data directory from a backup, which is verified first.",
    discussion: """
      The data directory must be empty, and no gateway may run on it. What waited in the
      queue when the backup was made is held, and no notice of silence about it is made,
      until `ceralacca queue release` and `ceralacca queue notices`.

      EXAMPLE
        ceralacca restore --from /backup/2026-11-21 --config /etc/ceralacca/ceralacca.yaml
      """)
  @Option(help: "The folder of the backup.") var from: String
  @Flag(help: "One JSON object.") var json = false
  @OptionGroup var file: ConfigOption

  func run() throws {
    try Outcome.of {
      defer { Outcome.endProgress() }
      try RestoreCommand.run(from: from, configurationFile: file.config, json: json, say: Outcome.say, progress: Outcome.progress)
    }
  }
}
