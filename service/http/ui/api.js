// The API page: Swagger UI over /openapi.json, without other hosts (validatorUrl would ask one). What is tried out here has the
// source "ui" unless the form says otherwise; the curl command that is shown stays as a program would send it.
SwaggerUIBundle({
  url: "openapi.json",
  domNode: document.getElementById("api"),
  deepLinking: true,
  validatorUrl: null,
  tryItOutEnabled: true,
  showMutatedRequest: false,
  requestInterceptor: (request) => {
    if (!Object.keys(request.headers).some((name) => name.toLowerCase() === "x-source")) {
      request.headers["X-Source"] = "ui";
    }
    return request;
  },
});
