import Accounts
import Configuration
import Foundation
import Gateway
import Octets
import PEC
import ProviderIndex
import Signing
import TLSPipe

/// `ceralacca check`: a configuration and everything it names, looked at without starting anything.
public enum CheckCommand {
  private struct Report: Encodable {
    var ok: Bool
    var errors: [String]
    var warnings: [String]
  }

  /// Checks a configuration. Ends with exit code 78 when something would keep the gateway from starting.
  public static func run(configurationFile: String, json: Bool, say: (String) -> Void) throws {
    var errors: [String] = []
    var warnings: [String] = []
    var facts: [String] = []
    do {
      let configuration = try GatewayConfiguration.load(path: configurationFile)
      look(at: configuration, &errors, &warnings, &facts)
    } catch {
      errors = error.problems.map(\.description)
    }
    if json {
      say(try Output.json(Report(ok: errors.isEmpty, errors: errors, warnings: warnings)))
    } else {
      for fact in facts { say("ok       \(fact)") }
      for warning in warnings { say("warning  \(warning)") }
      for error in errors { say("error    \(error)") }
      say(errors.isEmpty ? "\(configurationFile): the gateway can start with this." : "\(configurationFile): \(errors.count) errors.")
    }
    if !errors.isEmpty { throw CommandFailure("", exitCode: CommandFailure.configuration) }
  }

  private static func look(
    at configuration: GatewayConfiguration, _ errors: inout [String], _ warnings: inout [String], _ facts: inout [String]
  ) {
    let provider = configuration.provider
    do {
      let signer = try SignerCredentials(
        keyPath: configuration.signer.key, certificatePath: configuration.signer.certificate, serviceAddress: provider.serviceAddress,
        now: Clock.now().unixSeconds)
      facts.append("signer: \(signer.certificate.subject), \(signer.certificate.publicKey), for \(signer.serviceAddress)")
      warnings += signer.warnings.map { "signer: \($0)" }
      if !signer.isNamed(provider.name) {
        warnings.append("signer: the certificate's organization and common name are not \"\(provider.name)\" (RFC 6109 §4.5)")
      }
    } catch { errors.append("signer: \(error)") }
    if let tls = configuration.tls {
      do {
        _ = try TLSContext.server(certificatePEM: tls.certificate, keyPEM: tls.key)
        facts.append("tls: \(tls.certificate)")
      } catch { errors.append("tls: \(error)") }
    }
    do {
      let accounts = try Accounts(path: configuration.usersFile)
      facts.append("users: \(accounts.snapshot.count) in \(configuration.usersFile)")
      warnings += accounts.problems.map { "\(configuration.usersFile): \($0)" }
    } catch { errors.append("users: \(error)") }
    let (directory, report) = ProviderIndex.inspect(path: configuration.indexFile)
    if report.isLoaded {
      facts.append("provider index: \(report.recordCount) records, \(report.domainCount) domains")
      warnings += report.problems.map { "\(configuration.indexFile): \($0)" }
      for domain in provider.domains where directory.record(managing: domain) == nil {
        warnings.append("provider index: our own domain \(domain) is not listed: mail to it counts as ordinary")
      }
    } else {
      errors.append("provider index: " + report.lines.joined(separator: "; "))
    }
    for route in configuration.routes where route.credentials != nil {
      do { _ = try route.credentials?.password() } catch { errors.append("\(error)") }
    }
  }
}
