import EventModel
import StorageIO

extension Timestamp {
  /// The clock's time.
  static var now: Self { EngineEnvironment.system().now() }
}
