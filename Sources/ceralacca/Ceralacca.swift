import ArgumentParser
import Operations

/// The command line: argument parsing, nothing else.
@main
struct Ceralacca: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "ceralacca",
    abstract: "A gateway for Italian certified mail (PEC): access, incoming and delivery points of a provider.",
    discussion: """
      EXAMPLES
        ceralacca check --config /etc/ceralacca/ceralacca.yaml
        ceralacca serve --config /etc/ceralacca/ceralacca.yaml
        ceralacca lab --dir /tmp/lab --base-port 25000
        ceralacca verify --ca ca.pem --index index.ldif mail/new/*
        ceralacca index show pec.example.org --config /etc/ceralacca/ceralacca.yaml
        ceralacca quarantine list --config /etc/ceralacca/ceralacca.yaml

      Exit codes are those of sysexits.h: 0 all is well, 64 usage, 65 bad data, 66 no input, 69 unavailable,
      73 cannot create, 74 input/output, 75 try again, 77 no permission, 78 configuration. `scan` and `status` have their own.
      """,
    version: Service.version,
    subcommands: [
      Serve.self, Check.self, Lab.self, Demo.self, Queue.self, Log.self, Trace.self, Seal.self, Requests.self, Statistics.self, Index.self,
      Verify.self, Scan.self, Quarantine.self, Status.self, Top.self, Mailbox.self, Reload.self, Restart.self, Drain.self, Doctor.self,
      Backup.self, Restore.self,
    ])
}
