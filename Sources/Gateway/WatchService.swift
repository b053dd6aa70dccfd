import Configuration
import HTTPService
import Metering

/// What the gateway tells over HTTP to those who look after it. Answers are made of memory alone, on the service's own thread.
enum WatchService {
  /// Starts the service. Throws a `StartError`.
  static func start(_ settings: MetricsSettings, _ watch: Watch) throws -> HTTPService {
    do {
      let service = try HTTPService(address: settings.address, port: settings.port, boundsPeers: !settings.isLoopback) { [watch] question in
        answer(question, watch)
      }
      watch.metricsAddress =
        settings.address.contains(":") ? "[\(settings.address)]:\(service.port)" : "\(settings.address):\(service.port)"
      return service
    } catch {
      throw StartError(
        "metrics cannot be told on \(settings.address):\(settings.port): \(error); give metrics.port another number, or 0 for any")
    }
  }

  private static func answer(_ question: HTTPQuestion, _ watch: Watch) -> HTTPAnswer {
    switch question.path {
    case "/metrics":
      let form = Exposition(accept: question.accept)
      return HTTPAnswer(contentType: form.contentType, body: form.text(watch.families()))
    case "/health": return told(Readiness.health(watch.report()), well: "ok")
    case "/ready": return told(Readiness.ready(watch.report()), well: "ready")
    case "/": return HTTPAnswer(body: "ceralacca: /metrics, /health, /ready\n")
    default: return HTTPAnswer(status: 404, body: "there are /metrics, /health and /ready\n")
    }
  }

  private static func told(_ alarms: [StatusReport.Alarm], well: String) -> HTTPAnswer {
    if alarms.isEmpty { return HTTPAnswer(body: "\(well)\n") }
    return HTTPAnswer(status: 503, body: alarms.map { "\($0.name): \($0.words)\n" }.joined())
  }
}

/// Whether a gateway works, and whether it takes mail.
public enum Readiness {
  /// What only a restart mends: a supervisor may kill the process for it.
  public static func health(_ report: StatusReport) -> [StatusReport.Alarm] {
    report.alarms.filter { $0.name == "storage-broken" || $0.name == "lane-hangs" }
  }

  /// Why no mail is taken: others should be sent it meanwhile, and a restart would not help.
  public static func ready(_ report: StatusReport) -> [StatusReport.Alarm] { report.alarms.filter(\.stopsMail) }
}
