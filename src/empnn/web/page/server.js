// What the page asks the server for. Addresses are relative, so that it may live below any path.

export class ServerError extends Error {}

export async function get(what) {
  return (await answered(`api/${what}`)).json();
}

export async function post(what, body) {
  return answered(`api/${what}`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
  });
}

async function answered(address, request = {}) {
  let response;
  try {
    response = await fetch(address, request);
  } catch {
    throw new ServerError("the server does not answer; see whether it still runs");
  }
  if (response.ok) return response;
  const said = await response.json().catch(() => ({}));
  throw new ServerError(said.error ?? `the server answers ${response.status}; try again`);
}
