// VampNet: a client of `vampnet osc`, and of `vampnet live` with --osc-port.
//
//     v = VampNet.new;                          // or VampNet("127.0.0.1", 8001, 8003)
//     v.vamp("loop.wav", (prompt: "subtle", steps: 12, seed: 7), { |path, seed| (path + seed).postln });
//     v.live("record", 4);                      // a command of `vampnet live --osc-port 8011`
//
// Paths are relative to the folder of the service. Each call gives the id of its job, an Integer, for `cancel`.
VampNet {
	var <server, <looper, <replyPort, <id, jobs, funcs;
	var <>onProgress, <>onError, <>onState;

	*new { |host = "127.0.0.1", port = 8001, replyPort = 8003, livePort = 8011, liveReply = 8013|
		^super.new.init(host, port, replyPort, livePort, liveReply)
	}

	init { |host, port, reply, livePort, liveReply|
		server = NetAddr(host, port);
		looper = NetAddr(host, livePort);
		replyPort = reply;
		id = 1000.rand;
		jobs = Dictionary.new;
		onError = { |id, text| "VampNet %: %".format(id, text).warn };
		funcs = [
			OSCFunc({ |m| this.prDone(m[1].asInteger, m[2].asString, m[3]) }, '/done', recvPort: reply),
			OSCFunc({ |m| onProgress.value(m[1].asInteger, m[2]) }, '/progress', recvPort: reply),
			OSCFunc({ |m| this.prError(m) }, '/error', recvPort: reply),
			OSCFunc({ |m| onState.value(*m) }, '/live/loop', recvPort: liveReply),
			OSCFunc({ |m| onState.value(*m) }, '/live/model', recvPort: liveReply),
			OSCFunc({ |m| onState.value(*m) }, '/live/audio', recvPort: liveReply),
			OSCFunc({ |m| onError.value("live", m[1]) }, '/live/error', recvPort: liveReply)
		];
	}

	// Tasks. `settings`: an Event of the request's fields; `action`: gets the output's path and its seed.
	vamp { |path, settings, action| ^this.prSend('/vamp', path, [], settings, action) }
	loop { |path, settings, action| ^this.prSend('/loop', path, [], settings, action) }
	continue { |path, settings, action| ^this.prSend('/continue', path, [], settings, action) }
	generate { |path, settings, action| ^this.prSend('/generate', path, [], settings, action) }
	inpaint { |path, start, end, settings, action|
		^this.prSend('/inpaint', path, [start.asFloat, end.asFloat], settings, action)
	}

	cancel { |id| server.sendMsg('/cancel', id) }

	// A command of `vampnet live`, such as live("gain", -6, 2).
	live { |command ... values| looper.sendMsg(("/live/" ++ command).asSymbol, *values) }

	free { funcs.do(_.free) }

	prSend { |address, path, places, settings, action|
		var pairs = [];
		(settings ? ()).keysValuesDo { |key, value| pairs = pairs ++ [key.asString, value] };
		id = id + 1;
		jobs[id] = action;
		server.sendMsg(address, id, path, *(places ++ pairs));
		^id
	}

	prDone { |id, path, seed| jobs[id].value(path, seed) }

	prError { |m|
		var text = if(m.size > 2) { m[2] } { m[1] };
		onError.value(m[1], text);
	}
}
