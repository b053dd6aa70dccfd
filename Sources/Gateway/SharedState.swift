import Accounts
import Configuration
import Journey
import Limits
import Logging
import Octets
import PEC
import ProviderIndex
import SMTPWire
import Signing
import Spool
import Synchronization
import TLSPipe

/// Where mail for a route goes, with everything resolved.
struct NextHop: Sendable {
  enum Place: Sendable {
    case tcp(host: String, port: Int)
    case local(path: String)
  }

  var name: String
  var endpoint: Place
  /// Name that the certificate must bear; nil where it is not looked at.
  var serverName: String?
  var tls: TLSContext?
  var profile: ClientProfile

  /// For log lines and error texts.
  var display: String {
    switch endpoint {
    case .tcp(let host, let port): "\(host):\(port)"
    case .local(let path): path
    }
  }
}

/// What all lanes look at: immutable, or made for many threads.
final class SharedState: Sendable {
  /// Name of the route that is our own LMTP server; no domain can be called that.
  static let lmtpRoute = ":lmtp"

  let accessPoint: AccessPoint
  let limits: Limits
  let laneCount: Int
  let spool: Spool
  let committer: Committer
  /// Nil where mailboxes are reached by LMTP.
  let mailboxes: MailboxWriter?
  let authenticator: Authenticator
  let accounts: Accounts
  let index: ProviderIndex
  let serverTLS: TLSContext?
  let nextHops: [String: NextHop]
  let admission: Admission
  let counters: Counters
  let logger: Logger
  private let signers: SignerPool
  private let drainedLanes = Mutex<Set<Int>>([])
  private let onDrained: @Sendable () -> Void

  init(
    accessPoint: AccessPoint, limits: Limits, laneCount: Int, spool: Spool, committer: Committer, mailboxes: MailboxWriter?,
    authenticator: Authenticator, accounts: Accounts, index: ProviderIndex, serverTLS: TLSContext?,
    nextHops: [String: NextHop], counters: Counters, signers: SignerPool, logger: Logger, onDrained: @escaping @Sendable () -> Void
  ) {
    self.accessPoint = accessPoint
    self.limits = limits
    self.laneCount = laneCount
    self.spool = spool
    self.committer = committer
    self.mailboxes = mailboxes
    self.authenticator = authenticator
    self.accounts = accounts
    self.index = index
    self.serverTLS = serverTLS
    self.nextHops = nextHops
    self.counters = counters
    self.signers = signers
    self.logger = logger
    self.onDrained = onDrained
    admission = Admission(
      maximum: limits.connection.maximumConnections, maximumPerPeer: limits.connection.maximumConnectionsPerPeer)
  }

  /// The present instant.
  func now() -> Instant { Clock.now() }

  /// Hands content to the signers; the answer is a `.signature` or `.failed`.
  func sign(_ content: [Chunk], at instant: Instant, _ address: ReturnAddress) {
    signers.submit(
      SigningJob(token: address.token, content: content, signingTime: instant.unixSeconds) { result in
        switch result {
        case .success(let der): address.send(.signature(der))
        case .failure(let error): address.send(.failed("\(error)"))
        }
      })
  }

  /// A lane has nothing more to finish.
  func laneDrained(_ number: Int) {
    let all = drainedLanes.withLock { lanes in
      lanes.insert(number)
      return lanes.count == laneCount
    }
    if all { onDrained() }
  }

  /// Ends the threads that serve the lanes, once the lanes have ended.
  func finish() {
    authenticator.finish()
    signers.stop()
    mailboxes?.finish()
    committer.finish()
  }
}
