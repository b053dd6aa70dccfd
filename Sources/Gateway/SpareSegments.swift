import Logging
import Spool
import Threading

/// The thread that has a written segment file ready before the spool needs one.
final class SpareSegments: Sendable {
  private let closing = Handoff<Void>()
  private let thread: WorkerThread

  init(spool: Spool, logger: Logger) {
    thread = WorkerThread(name: "spare segments", niceness: 10) { [closing] in
      var warned = false
      while !closing.isClosed {
        // A disk that is nearly full is the intake's matter, which refuses in time: nothing is taken from it here.
        if spool.freeBytes > 1 << 30 {
          do throws(SpoolError) { try spool.prepareSpare() } catch {
            if !warned { logger.warning("no segment file could be made ahead of need: \(error)") }
            warned = true
          }
        }
        closing.wait(forSeconds: 1)
      }
    }
  }

  func finish() {
    closing.close()
    thread.join()
  }
}
