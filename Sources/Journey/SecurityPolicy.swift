import PEC
import ScanWire

/// What is done with a message that the scanner cannot vouch for (`pec-rules` 3.3): chosen by the provider, never by default "clean".
public struct SecurityPolicy: Sendable, Equatable {
  /// What becomes of content that nobody could look into.
  public enum Treatment: String, Sendable, Equatable {
    /// It passes, and the log says what it is.
    case accept
    /// It is treated as infected.
    case refuse
  }

  /// What becomes of infected ordinary mail (RFC 6109 §2.2.2: the usual handling of the Internet, and no notice).
  public enum InfectedOrdinary: String, Sendable, Equatable {
    /// Refused in SMTP: the sending server keeps it and tells its user.
    case refuse
    /// Taken, put into quarantine, and told to nobody.
    case discard
  }

  /// Encrypted archives and documents.
  public var encrypted: Treatment
  /// More of it, or deeper, than the scanner's limits allow.
  public var beyondLimits: Treatment
  public var infectedOrdinary: InfectedOrdinary

  /// Encrypted content passes, what is beyond the limits does not, infected ordinary mail is refused, unless said otherwise.
  public init(encrypted: Treatment = .accept, beyondLimits: Treatment = .refuse, infectedOrdinary: InfectedOrdinary = .refuse) {
    self.encrypted = encrypted
    self.beyondLimits = beyondLimits
    self.infectedOrdinary = infectedOrdinary
  }

  /// What follows from a scan.
  enum Decision: Sendable, Equatable {
    /// It may pass; the note says to the log who vouches for it.
    case pass(note: String)
    case stop(Threat)
    /// Nobody looked at it: nothing is promised, the client keeps it.
    case retry
    /// Every worker that looked at it died or did not come to an end.
    case hold(Threat)
  }

  func decide(_ outcome: ScanOutcome) -> Decision {
    switch outcome {
    case .off: .pass(note: "not scanned: the virus scanner is off by configuration")
    case .unavailable: .retry
    case .fault(let reason, let version, let digest):
      .hold(Threat(name: reason, scanner: version?.text ?? "", digest: digest))
    case .verdict(let verdict): decide(verdict)
    }
  }

  private func decide(_ verdict: ScanVerdict) -> Decision {
    func threat(_ name: String) -> Threat { Threat(name: name, scanner: verdict.version.text, digest: verdict.digest) }
    switch verdict.finding {
    case .clean: return .pass(note: "scanned clean by \(verdict.version.text)")
    case .infected(let name): return .stop(threat(name))
    case .encrypted(let name):
      if encrypted == .accept { return .pass(note: "encrypted content (\(name)) accepted by configuration, \(verdict.version.text)") }
      return .stop(threat("contenuto cifrato, non verificabile: \(name)"))
    case .limits(let name):
      if beyondLimits == .accept {
        return .pass(note: "content beyond the scanner's limits (\(name)) accepted by configuration, \(verdict.version.text)")
      }
      return .stop(threat("contenuto oltre i limiti di verifica: \(name)"))
    }
  }
}

/// What the scanner found in a message, and who says so.
struct Threat: Sendable, Equatable {
  /// Name of the threat, as notices and certification data say it.
  var name: String
  /// Engine and signature database.
  var scanner: String
  /// SHA-256 of the message, hexadecimal.
  var digest: String

  /// For the log.
  var note: String { scanner.isEmpty ? name : "\(name), found by \(scanner)" }
}
